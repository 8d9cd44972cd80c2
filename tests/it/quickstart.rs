//! The quickstart does what the README promises, and other engines read what it wrote.

use std::fs;
use std::path::Path;

use crate::scene::Scene;

/// The README's query and answer.
fn promised() -> (String, String) {
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
    let text = fs::read_to_string(readme).unwrap();
    let query = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("'SELECT nation"))
        .unwrap();
    let query = format!("SELECT nation{}", query.trim_end_matches('\''));
    let (_, after) = text.split_once("The answer:\n\n```\n").unwrap();
    let (answer, _) = after.split_once("```").unwrap();
    (query, answer.to_owned())
}

#[test]
fn it_prints_the_promised_answer_again_and_again() {
    let scene = Scene::copy_of("specs/quickstart");
    let (query, answer) = promised();
    for _ in 0..2 {
        scene.good(&["run", "--all"]);
        assert_eq!(scene.good(&["query", &query]), answer);
        assert_eq!(scene.query("SELECT count(*) FROM shop.orders"), ["6000"]);
    }
    scene.readers_agree();
}

#[test]
fn other_engines_read_the_same_rows() {
    let scene = Scene::copy_of("specs/quickstart");
    scene.good(&["run", "--all"]);
    let Some(tables) = scene.readers_agree() else {
        return;
    };
    let orders = &tables["shop.orders"];
    assert_eq!(orders.count, 6000);
    let price = ("o_totalprice".to_owned(), "decimal(15, 2)".to_owned());
    assert!(orders.columns.contains(&price), "{:?}", orders.columns);
    let ours = scene.query("SELECT count(*) FROM shop.revenue");
    assert_eq!(ours, [tables["shop.revenue"].count.to_string()]);
}

#[test]
fn a_new_file_is_read_and_a_known_one_is_not() {
    let scene = Scene::copy_of("specs/quickstart");
    let late = scene.path().join("data/orders/orders-2.csv.gz");
    let kept = scene.path().join("data/orders-2.csv.gz.later");
    fs::rename(&late, &kept).unwrap();
    scene.good(&["run", "shop/orders"]);
    assert_eq!(scene.query("SELECT count(*) FROM shop.orders"), ["3167"]);
    fs::rename(&kept, &late).unwrap();
    scene.good(&["run", "shop/orders"]);
    assert_eq!(
        scene.query("SELECT count(*), count(DISTINCT o_orderkey) FROM shop.orders"),
        ["6000,6000"]
    );
    scene.good(&["run", "shop/orders"]);
    assert_eq!(scene.query("SELECT count(*) FROM shop.orders"), ["6000"]);
    scene.readers_agree();
}
