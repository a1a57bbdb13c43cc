use super::*;
use crate::text::TextErrorKind;

fn int(text: &str) -> Option<i64> {
    parse(text.as_bytes()).ok()?.find("a")?.as_int()
}

#[track_caller]
fn check_error(text: &str, at: usize, kind: TextErrorKind) {
    assert_eq!(parse(text.as_bytes()), Err(kind.at(at)), "{text:?}");
}

#[test]
fn sections_and_values_keep_their_order() {
    let tree = parse(b"b = 1 # one\na { c = [\"x\", 'y', 3] d = 1.5 }\nb = 2\0 rubbish {").unwrap();
    assert_eq!(
        tree.nodes().iter().map(Node::key).collect::<Vec<_>>(),
        ["b", "a", "b"]
    );
    assert_eq!(tree.find("b").unwrap().as_int(), Some(1));
    assert_eq!(
        tree.find("a/c").unwrap().strings().collect::<Vec<_>>(),
        ["x", "y"]
    );
    assert_eq!(tree.find("a/d").unwrap().as_float(), Some(1.5));
    assert_eq!(tree.find("a/e"), None);
    assert_eq!(tree.find("b/c"), None);
    assert_eq!(tree.merge_duplicates().find("b").unwrap().as_int(), Some(2));
}

#[test]
fn sections_of_one_name_join_in_files() {
    let tree = parse(b"a { x = 1 }\na { x = 2 y = 3 }").unwrap();
    assert_eq!(tree.find("a/x").unwrap().as_int(), Some(1));
    assert_eq!(tree.find("a/y").unwrap().as_int(), Some(3));
    let tree = tree.merge_duplicates();
    assert_eq!(tree.sections().count(), 1);
    assert_eq!(tree.find("a/x").unwrap().as_int(), Some(2));
}

#[test]
fn slashes_in_keys_make_sections() {
    let tree = parse(b"a/b/c = 1\n\"d/e\" { f = 2 }").unwrap();
    assert_eq!(tree.find("a/b/c").unwrap().as_int(), Some(1));
    assert_eq!(tree.find("d/e/f").unwrap().as_int(), Some(2));
}

#[test]
fn numbers_are_read_as_c_reads_them_and_never_cut() {
    assert_eq!(int("a = 010"), Some(8));
    assert_eq!(int("a = -5"), Some(-5));
    assert_eq!(int("a = +5"), Some(5));
    assert_eq!(int("a = 0"), Some(0));
    assert_eq!(int("a=9223372036854775807}"), None);
    assert_eq!(int("a=9223372036854775807"), Some(i64::MAX));
    assert_eq!(int("a=-9223372036854775808"), Some(i64::MIN));
    check_error(
        "a = 9223372036854775808",
        4,
        TextErrorKind::NumberTooLarge { key: "a".into() },
    );
    for bad in [
        "a = 09",
        "a = -",
        "a = 0x10",
        "a = 12k",
        "a = 1.2.3",
        "a = .",
        "a = +-1",
    ] {
        check_error(bad, 4, TextErrorKind::BadNumber { key: "a".into() });
    }
    let old = parse(b"creation_time = 99999999999999999999").unwrap();
    assert_eq!(old.find("creation_time").unwrap().as_int(), Some(1_527_120_000));
}

#[test]
fn strings_have_two_escapes() {
    let tree = parse(br#"a = "x\"y\\z\n" b = 'x\"y' c = ba,re] "d e" = 1"#).unwrap();
    assert_eq!(tree.find("a").unwrap().as_str(), Some("x\"y\\z\\n"));
    assert_eq!(tree.find("b").unwrap().as_str(), Some("x\\\"y"));
    assert_eq!(tree.find("c").unwrap().as_str(), Some("ba,re]"));
    assert_eq!(tree.find("d e").unwrap().as_int(), Some(1));
}

#[test]
fn lists_may_lack_commas_before_strings_and_may_end_in_one() {
    let items = |text: &str| parse(text.as_bytes()).map(|tree| tree.find("a").unwrap().items().len());
    assert_eq!(items("a = [\"x\" \"y\"]"), Ok(2));
    assert_eq!(items("a = [1, 2, # two\n]"), Ok(2));
    assert_eq!(items("a = []"), Ok(0));
    assert_eq!(items("a = \"x\""), Ok(1));
    check_error("a = [1 2]", 7, TextErrorKind::MissingComma);
    check_error("a = [, 1]", 5, TextErrorKind::MissingValue);
    check_error("a = [[1]]", 5, TextErrorKind::NestedList);
}

#[test]
fn what_is_no_text_is_refused_at_its_byte() {
    check_error("a = \"x", 4, TextErrorKind::UnterminatedString);
    check_error("a = 'x", 4, TextErrorKind::UnterminatedString);
    check_error("a = \"x\\", 4, TextErrorKind::UnterminatedString);
    check_error("a {", 3, TextErrorKind::UnexpectedEnd);
    check_error("a = [1", 6, TextErrorKind::UnexpectedEnd);
    check_error("a", 1, TextErrorKind::UnexpectedEnd);
    check_error("a b", 2, TextErrorKind::MissingEquals);
    check_error("}", 0, TextErrorKind::UnexpectedBrace);
    check_error("= 1", 0, TextErrorKind::MissingKey);
    check_error("a = 1 / = 2", 6, TextErrorKind::MissingKey);
    check_error("\"//\" { }", 0, TextErrorKind::MissingKey);
    check_error("a = }", 4, TextErrorKind::MissingValue);
    check_error("a =", 3, TextErrorKind::MissingValue);
}

#[test]
fn a_million_nested_sections_or_lists_are_refused() {
    let deep = "a{".repeat(1_000_000);
    check_error(&deep, 64, TextErrorKind::TooDeep);
    let path = format!("{}b = 1", "a/".repeat(1_000_000));
    check_error(&path, 0, TextErrorKind::TooDeep);
    let lists = format!("a = {}", "[".repeat(1_000_000));
    check_error(&lists, 5, TextErrorKind::NestedList);
    let good = format!("{}{}", "a{".repeat(32), "}".repeat(32));
    assert!(parse(good.as_bytes()).is_ok());
    let mut lexer = Lexer::new(&deep);
    assert!(matches!(lexer.item(), Ok(Item::Open(_))));
    assert_eq!(lexer.skip_section(1).unwrap_err().kind, TextErrorKind::TooDeep);
}

#[test]
fn more_nodes_than_the_limit_are_refused() {
    let wide = "a=1 ".repeat(NODE_LIMIT + 1);
    assert_eq!(
        parse(wide.as_bytes()).unwrap_err().kind,
        TextErrorKind::TooManyNodes
    );
    let long = format!("a = [{}]", "1,".repeat(NODE_LIMIT + 1));
    assert_eq!(
        parse(long.as_bytes()).unwrap_err().kind,
        TextErrorKind::TooManyNodes
    );
}

mod random {
    use proptest::prelude::*;

    use super::super::*;

    fn scalar() -> impl Strategy<Value = Value> {
        prop_oneof![
            any::<i64>().prop_map(Value::Int),
            (any::<i32>(), any::<u16>()).prop_map(|(a, b)| Value::Float(format!("{a}.{b}").into())),
            "[^\0]*".prop_map(|text| Value::Str(text.into())),
        ]
    }

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            scalar(),
            proptest::collection::vec(scalar(), 0..5).prop_map(Value::List)
        ]
    }

    fn section() -> impl Strategy<Value = Section> {
        let leaf = (("[^\0/]+"), value()).prop_map(|(key, value)| Node::new(&key, Body::Value(value)));
        let node = leaf.prop_recursive(4, 64, 8, |inner| {
            ("[a-z\" ]+", proptest::collection::vec(inner, 0..8))
                .prop_map(|(key, nodes)| Node::new(&key, Body::Section(Section::new(nodes))))
        });
        proptest::collection::vec(node, 0..8).prop_map(Section::new)
    }

    proptest! {
        #[test]
        fn printed_trees_parse_to_themselves(tree in section()) {
            prop_assert_eq!(parse(tree.to_string().as_bytes()), Ok(tree));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = parse(&text);
        }

        #[test]
        fn no_likely_text_makes_the_parser_panic(text in "[a{}=\\[\\],\"'#/0-9.+\\-\\\\ \n]*") {
            let _ = parse(text.as_bytes());
        }
    }
}
