use super::*;
use crate::host::testing::FakeHost;

fn host(main: &str, local: &str) -> FakeHost {
    let host = FakeHost::new();
    let dir = &host.paths.lvm_system_dir;
    host.write(&dir.join("lvm.conf"), main)
        .write(&dir.join("lvmlocal.conf"), local);
    host
}

fn read(main: &str, local: &str) -> Result<Config> {
    Config::read(&host(main, local).paths, "node1")
}

#[test]
fn without_files_lvms_defaults_count() {
    let host = FakeHost::new();
    let config = Config::read(&host.paths, "node1").unwrap();
    assert!(!config.devices.use_devicesfile && !config.devices.scan_lvs && config.devices.hints);
    assert_eq!(
        (config.devices.pv_min_size, config.devices.data_alignment),
        (2 << 20, 1 << 20)
    );
    assert_eq!(config.devices.devicesfile, "system.devices");
    assert_eq!(config.allocation.physical_extent_size, 4 << 20);
    assert_eq!(config.backup.backup_dir, host.paths.lvm_system_dir.join("backup"));
    assert!(config.backup.backup && config.backup.archive && config.global.wait_for_locks);
    assert!(config.activation.udev_sync && config.activation.udev_rules && !config.global.metadata_read_only);
    assert_eq!(config.activation.thin_pool_autoextend_threshold, 100);
    assert_eq!(config.global.system_id_source, "none");
    assert!(config.may_activate("vg", "lv", &[], &[]));
    assert!(config.device_rules(&host.paths).unwrap().devices_file.is_none());
}

#[test]
fn a_later_file_replaces_values_and_grows_filters() {
    let config = read(
        "devices { filter = [ \"r|.*|\" ] global_filter = \"r|x|\" issue_discards = 1 pv_min_size = 1 }\n\
         activation { udev_sync = \"yes\" }",
        "devices { filter = \"a|sda|\" global_filter = [] data_alignment = 64 } local { system_id = \"n1\" }",
    )
    .unwrap();
    assert!(
        config.devices.filter.accepts(&["/dev/sda"]),
        "the local pattern comes first"
    );
    assert!(!config.devices.filter.accepts(&["/dev/sdb"]));
    assert!(config.devices.global_filter.is_empty(), "replaced");
    assert!(config.devices.issue_discards && config.activation.udev_sync);
    assert_eq!(
        (config.devices.data_alignment, config.devices.pv_min_size),
        (64 << 10, 512 << 10)
    );
    assert_eq!(config.local_system_id.as_deref(), Some("n1"));
}

#[test]
fn the_built_in_default_of_the_devices_file_is_read_from_the_comment() {
    for (text, expected) in [
        ("devices {\n\t# use_devicesfile = 1\n}", true),
        ("devices {\n\t# use_devicesfile = 0\n}", false),
        (
            "devices {\n\t# use_devicesfile = 1\n use_devicesfile = 0\n}",
            false,
        ),
        ("# Set use_devicesfile = 1 to enable it.", false),
    ] {
        assert_eq!(
            read(text, "").unwrap().devices.use_devicesfile,
            expected,
            "{text}"
        );
    }
}

#[test]
fn values_of_the_wrong_kind_are_errors_that_name_file_and_setting() {
    for (text, key) in [
        ("devices { filter = [ 1 ] }", "devices/filter"),
        ("devices { scan_lvs = \"perhaps\" }", "devices/scan_lvs"),
        ("backup { retain_min = -1 }", "backup/retain_min"),
        ("backup { retain_days = \"9\" }", "backup/retain_days"),
        (
            "allocation { physical_extent_size = 9223372036854775807 }",
            "allocation/physical_extent_size",
        ),
        ("global { locking_dir = 1 }", "global/locking_dir"),
        ("tags { hosttags = [] }", "tags/hosttags"),
    ] {
        let err = read(text, "").unwrap_err();
        let Error::ConfigValue { key: found, path, .. } = &err else {
            panic!("{text}: {err}")
        };
        assert_eq!(found, key);
        assert!(path.ends_with("lvm.conf"));
    }
    assert!(matches!(
        read("devices {", ""),
        Err(Error::ConfigSyntax { line: 1, .. })
    ));
    assert!(matches!(
        read("devices { filter = \"x\" }", ""),
        Err(Error::FilterPattern { .. })
    ));
}

#[test]
fn host_tags_come_from_names_and_lists_and_bring_their_own_files() {
    let host = host(
        "tags { hosttags = 1 fast { host_list = [ \"node1\", \"node2\" ] } slow { host_list = [] } @all { } }",
        "devices { tags = [ \"slow\" ] scan_lvs = 1 }\nglobal { tags = \"@fast\" metadata_read_only = 1 }",
    );
    let dir = &host.paths.lvm_system_dir;
    host.write(
        &dir.join("lvm_fast.conf"),
        "tags { more { } } activation { volume_list = \"vg1\" }",
    );
    host.write(
        &dir.join("lvm_more.conf"),
        "activation { volume_list = [ \"@more\", \"vg2/lv\" ] }",
    );
    let config = Config::read(&host.paths, "node1").unwrap();
    assert_eq!(config.host_tags, ["node1", "fast", "all", "more"]);
    assert!(!config.devices.scan_lvs, "a section for other hosts");
    assert!(config.global.metadata_read_only);
    for (vg, lv, tags, expected) in [
        ("vg1", "any", &[][..], true),
        ("vg2", "lv", &[], true),
        ("vg2", "other", &[], false),
        ("vg3", "lv", &["more"], true),
    ] {
        assert_eq!(config.may_activate(vg, lv, &[], tags), expected, "{vg}/{lv}");
    }
}

#[test]
fn with_host_tags_and_no_list_only_tagged_lvs_are_activated() {
    let config = read("tags { hosttags = 1 }", "").unwrap();
    assert!(!config.may_activate("vg", "lv", &[], &[]));
    assert!(config.may_activate("vg", "lv", &["node1"], &[]));
    let any = read(
        "tags { hosttags = 1 } activation { volume_list = [ \"@*\" ] }",
        "",
    )
    .unwrap();
    assert!(any.may_activate("vg", "lv", &[], &["node1"]));
    assert!(!any.may_activate("vg", "lv", &[], &["node2"]));
}

#[test]
fn the_devices_file_and_the_locking_folder_are_those_of_the_configuration() {
    let host = host("devices { use_devicesfile = 1 devicesfile = \"mine\" }", "");
    let config = Config::read(&host.paths, "node1").unwrap();
    assert!(
        config.device_rules(&host.paths).unwrap().devices_file.is_none(),
        "not in use until it is there"
    );
    host.write(&DevicesFile::path(&host.paths, "mine"), "VERSION=1.1.1\n");
    assert!(config.device_rules(&host.paths).unwrap().devices_file.is_some());

    let dir = host.root().join("locks");
    let config = read(&format!("global {{ locking_dir = \"{}\" }}", dir.display()), "").unwrap();
    let mut held = config.locks(&host.paths).hold();
    held.vg("vg", crate::host::LockMode::Shared, std::time::Duration::ZERO)
        .unwrap();
    assert!(dir.join("V_vg").exists());
}

#[test]
fn what_is_no_file_in_the_place_of_a_configuration_or_devices_file_is_named() {
    use nix::sys::stat::Mode;
    for name in ["lvm.conf", "lvmlocal.conf", "devices/system.devices"] {
        let host = host("devices { use_devicesfile = 1 }", "");
        let path = host.paths.lvm_system_dir.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let _ = std::fs::remove_file(&path);
        nix::unistd::mkfifo(&path, Mode::S_IRUSR | Mode::S_IWUSR).unwrap();
        let rules = Config::read(&host.paths, "node1").and_then(|config| config.device_rules(&host.paths));
        let error = rules.map(drop).unwrap_err();
        let Error::NotAFile { path: told, found } = &error else {
            panic!("{name}: {error}")
        };
        assert_eq!((told, *found), (&path, "a FIFO"), "{name}");
    }
}
