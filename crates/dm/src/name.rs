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

/// The byte that a `\xNN` at the start of `text` stands for.
fn escape(text: &[u8]) -> Option<u8> {
    let digits = text.get(..4)?.strip_prefix(b"\\x")?;
    let value = |digit: u8| char::from(digit).to_digit(16);
    match digits {
        &[high, low] => u8::try_from(value(high)? << 4 | value(low)?).ok(),
        _ => None,
    }
}

/// Writes the bytes that udev does not take as `\xNN`.  Text that has such codes already is kept; `None` for text that
/// has both, or in the end the code of a code's backslash: nobody can tell what was meant.
fn mangle(text: &[u8]) -> Option<String> {
    let (mut mangled, mut coded, mut unsafe_bytes) = (String::with_capacity(text.len()), false, false);
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        if escape(rest).is_some() {
            let (code, later) = rest.split_at_checked(4)?;
            mangled.extend(code.iter().map(|byte| char::from(*byte)));
            (rest, coded) = (later, true);
            continue;
        }
        if is_safe(*first) {
            mangled.push(char::from(*first));
        } else {
            mangled += &format!("\\x{first:02x}");
            unsafe_bytes = true;
        }
        rest = after;
    }
    let unclear = (coded && unsafe_bytes) || mangled.to_ascii_lowercase().contains("\\x5cx");
    (!unclear).then_some(mangled)
}

/// Reads `\xNN` back; text without any is unchanged.
fn unmangle(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = escape(rest);
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() {
            rest.get(4..).unwrap_or_default()
        } else {
            after
        };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn check(what: &'static str, text: &str, limit: usize) -> Result<Box<str>, Error> {
    let reserved = matches!(text, "" | "." | ".." | "control") || text.contains('\0');
    let mangled = mangle(text.as_bytes()).filter(|mangled| !reserved && mangled.len() <= limit);
    mangled.map(Into::into).ok_or_else(|| Error::BadName {
        what,
        text: text.chars().take(140).collect(),
        limit,
    })
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

            /// Takes what the kernel gave, whatever it is: other programs make devices too.  Bytes that are not text are
            /// shown as `\\xNN`; such a device is found by its number.
            pub(crate) fn of_kernel(bytes: &[u8]) -> Self {
                let shown = |byte: &u8| match byte {
                    0x20..=0x7e => char::from(*byte).to_string(),
                    _ => format!("\\x{byte:02x}"),
                };
                match std::str::from_utf8(bytes) {
                    Ok(text) => Self(text.into()),
                    Err(_) => Self(bytes.iter().map(shown).collect()),
                }
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
    use proptest::prelude::*;

    #[test]
    fn lvms_names_are_never_mangled_and_others_come_back() {
        assert_eq!(DmName::new("vg--0-lv.a_b+c").unwrap().as_str(), "vg--0-lv.a_b+c");
        let odd = DmName::new("a b/c").unwrap();
        assert_eq!(
            (odd.as_str(), odd.unmangled().as_str()),
            ("a\\x20b\\x2fc", "a b/c")
        );
        assert_eq!(
            DmName::of_kernel(b"x\\xzz\\x4\\x+f").unmangled(),
            "x\\xzz\\x4\\x+f"
        );
    }

    #[test]
    fn a_name_that_is_mangled_already_is_kept() {
        assert_eq!(DmName::new("a\\x20b").unwrap().as_str(), "a\\x20b");
        assert_eq!(DmName::new("a\\x2Fb").unwrap().as_str(), "a\\x2Fb");
        assert_eq!(DmName::new("a\\b").unwrap().as_str(), "a\\x5cb");
        for ambiguous in ["\\x ", "a\\x20 b", " \\x20", "a\\x5cx20", "\\x20\\"] {
            assert!(DmName::new(ambiguous).is_err(), "{ambiguous}");
        }
    }

    #[test]
    fn names_that_the_kernel_refuses_are_refused() {
        for bad in [
            "",
            ".",
            "..",
            "control",
            &"x".repeat(128),
            "a\0b",
            &" ".repeat(32),
        ] {
            assert!(DmName::new(bad).is_err(), "{bad}");
        }
        assert!(DmName::new(&" ".repeat(31)).is_ok());
        assert!(DmUuid::new(&"x".repeat(128)).is_ok());
        assert!(DmUuid::new(&"x".repeat(129)).is_err());
    }

    #[test]
    fn a_name_that_is_not_text_is_shown_by_its_bytes() {
        assert_eq!(DmName::of_kernel(b"a \xff").as_str(), "a \\xff");
        assert_eq!(DmName::of_kernel("\u{e9}".as_bytes()).as_str(), "\u{e9}");
    }

    proptest! {
        #[test]
        fn mangling_twice_is_mangling_once(text in "[ -~\u{e4}]{1,30}") {
            if let Ok(name) = DmName::new(&text) {
                prop_assert_eq!(&DmName::new(name.as_str()).unwrap(), &name);
                if !text.contains('\\') {
                    prop_assert_eq!(name.unmangled(), text);
                }
            }
        }
    }
}
