//! Volumes (in progress)
mod geometry;
mod record;
mod rules;
