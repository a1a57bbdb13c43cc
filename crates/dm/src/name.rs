//! Names and uuids of mapped devices.
//!
//! The kernel takes any bytes but a slash; udev takes `0-9 A-Z a-z # + - . : = @ _`.  Other bytes are written `\xNN`, as
//! libdevmapper does.

use std::fmt;

use crate::Error;

/// Longest name in bytes: `DM_NAME_LEN` less its NUL.
const NAME_LIMIT: usize = 127;
/// Longest uuid in bytes: `DM_UUID_LEN` less its NUL.
const UUID_LIMIT: usize = 128;

fn is_safe(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"#+-.:=@_".contains(&byte)
}

/// Writes the bytes that udev does not take as `\xNN`.
fn mangle(text: &str) -> String {
    let mut mangled = String::with_capacity(text.len());
    for byte in text.bytes() {
        if is_safe(byte) {
            mangled.push(char::from(byte))
        } else {
            mangled += &format!("\\x{byte:02x}")
        }
    }
    mangled
}

/// Reads `\xNN` back; text without any is unchanged.
fn unmangle(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = rest.get(..4).filter(|code| code.starts_with(b"\\x"));
        let code = code.and_then(|code| std::str::from_utf8(code.get(2..)?).ok());
        match code.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = rest.get(4..).unwrap_or_default();
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn check(what: &'static str, text: &str, limit: usize) -> Result<Box<str>, Error> {
    let mangled = mangle(text);
    let bad = mangled.is_empty()
        || mangled.len() > limit
        || matches!(text, "." | ".." | "control")
        || text.contains('\0');
    if bad {
        Err(Error::BadName {
            what,
            text: text.chars().take(140).collect(),
            limit,
        })
    } else {
        Ok(mangled.into())
    }
}

macro_rules! text_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Box<str>);

        impl $name {
            /// The text as the kernel has it, mangled where it must be.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The text for people.
            pub fn unmangled(&self) -> String {
                unmangle(&self.0)
            }

            /// Takes what the kernel gave, whatever it is.
            pub(crate) fn of_kernel(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:?})"), self.0)
            }
        }
    };
}

text_type!(
    /// The name of a mapped device: unique, at most 127 bytes.
    DmName
);
text_type!(
    /// The uuid of a mapped device: unique, set once, at most 128 bytes.  LVM knows its devices by it.
    DmUuid
);

impl DmName {
    /// A name; bytes that udev does not take are mangled.
    ///
    /// # Errors
    /// [`Error::BadName`] when it is empty, too long, or reserved.
    pub fn new(text: &str) -> Result<Self, Error> {
        check("name", text, NAME_LIMIT).map(Self)
    }
}

impl DmUuid {
    /// A uuid; bytes that udev does not take are mangled.
    ///
    /// # Errors
    /// [`Error::BadName`] when it is empty or too long.
    pub fn new(text: &str) -> Result<Self, Error> {
        check("uuid", text, UUID_LIMIT).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lvms_names_are_never_mangled_and_others_come_back() {
        assert_eq!(DmName::new("vg--0-lv.a_b+c").unwrap().as_str(), "vg--0-lv.a_b+c");
        let odd = DmName::new("a b/c").unwrap();
        assert_eq!(
            (odd.as_str(), odd.unmangled().as_str()),
            ("a\\x20b\\x2fc", "a b/c")
        );
        assert_eq!(DmName::of_kernel("x\\xzz\\x4").unmangled(), "x\\xzz\\x4");
    }

    #[test]
    fn names_that_the_kernel_refuses_are_refused() {
        for bad in ["", ".", "..", "control", &"x".repeat(128), "a\0b"] {
            assert!(DmName::new(bad).is_err(), "{bad}");
        }
        assert!(DmUuid::new(&"x".repeat(128)).is_ok());
        assert!(DmUuid::new(&"x".repeat(129)).is_err());
    }
}
