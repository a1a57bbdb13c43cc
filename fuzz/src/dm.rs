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

/// Changes of a thin pool's metadata: each is a block's number, an offset and a value; all checksums are made right.
pub fn thin_metadata(bytes: &[u8]) {
    let mut blocks = lvm_dm::testing::thin_metadata(300);
    for change in bytes.chunks_exact(4) {
        let offset = usize::from(u16::from_le_bytes([change[1], change[2]]));
        let count = blocks.len();
        blocks[usize::from(change[0]) % count][offset % 4096] = change[3];
    }
    for (at, block) in (0..).zip(&mut blocks) {
        lvm_dm::testing::seal_thin_metadata(at, block);
    }
    let found = lvm_dm::ThinMetadata::read(&mut |at, block| {
        let found = usize::try_from(at).ok().and_then(|at| blocks.get(at));
        *block = *found.ok_or(std::io::ErrorKind::UnexpectedEof)?;
        Ok(())
    });
    if let Ok(Some(found)) = found {
        assert!(found.data_used <= found.data_blocks && found.metadata_used <= found.metadata_blocks);
        assert!(found.devices.len() <= 300 && found.devices.keys().all(|id| *id < 1 << 24));
    }
}
