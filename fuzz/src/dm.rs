//! What the kernel answers.

/// Any bytes as the reply to each command of device-mapper, and their words as tables.
pub fn dm_reply(bytes: &[u8]) {
    lvm_dm::testing::decode_reply(bytes);
    let text = String::from_utf8_lossy(bytes);
    if let Ok(table) = text.parse::<lvm_dm::Table>() {
        let printed = table.to_string();
        let again = printed.parse::<lvm_dm::Table>();
        assert_eq!(again.ok().as_ref(), Some(&table), "{printed}");
    }
}
