//! Device-mapper without libdevmapper.
