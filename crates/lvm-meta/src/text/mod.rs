//! LVM2's configuration text: the grammar of VG metadata and of `lvm.conf`.
//!
//! ```text
//! file    := (section | assign)*            comments run from # to the end of the line
//! section := key '{' (section | assign)* '}'
//! assign  := key '=' value
//! value   := scalar | '[' scalar (',' scalar)* ']' | '[' ']'
//! ```
//!
//! Text ends at its first NUL.  Reference: LVM2 `libdm/libdm-config.c`.

mod error;
mod lexer;
mod node;
mod parse;
mod plain;
mod print;
mod raw_bytes;

pub use error::{TextError, TextErrorKind};
pub(crate) use lexer::{Item, Lexer, Scalar};
pub use node::{Body, Node, Section, Value};
#[cfg(feature = "serde")]
pub(crate) use parse::DEPTH_LIMIT;
pub use parse::parse;
pub(crate) use parse::{NODE_LIMIT, parse_body, without_nul};
pub(crate) use plain::Plain;
pub(crate) use print::{needs_escapes, push_key, push_quoted, push_u64, push_value};
pub(crate) use raw_bytes::{hide, unhide};
