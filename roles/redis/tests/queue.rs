//! Against a real redis-server: what is on a list comes off it once it is settled and not before, whatever else lies there.

use std::time::Duration;

use redis::Client;
use tempfile::TempDir;
use winze_redis::limits::{DEAD_LETTER_ENTRY_BYTES_MAX, ENTRY_BYTES_MAX, TAKEN_BYTES_MAX};
use winze_redis::testing::{RedisServer, Wanted};
use winze_redis::{DeadLetter, Handover, Intake, KeysetKey, QuoteId, RedisFault, Taken};

const LIST: &str = "mint:quotes:create";
const DEAD: &str = "mint:quotes:dead";
const SOON: Duration = Duration::from_millis(50);

struct Scene {
    server: RedisServer,
    folder: TempDir,
}

impl Scene {
    fn new(wanted: Wanted) -> Scene {
        let folder = TempDir::new().unwrap();
        let server = RedisServer::start(&folder.path().join("redis"), wanted).unwrap();
        Scene { server, folder }
    }

    fn intake(&self) -> Intake {
        Intake::new(&self.server.config().open().unwrap(), LIST, DEAD, "main")
    }

    fn handover(&self) -> Handover {
        let redis = self.server.config().open().unwrap();
        Handover::new(&redis, LIST, "mint:quotes:hash")
    }

    /// As somebody else who uses the same Redis.
    fn stranger(&self) -> redis::Connection {
        let client = Client::open(format!("redis://{}", self.server.address())).unwrap();
        client.get_connection().unwrap()
    }
}

fn entry(text: &str) -> Taken {
    Taken::Entry(text.as_bytes().to_vec())
}

fn push(stranger: &mut redis::Connection, entries: &[&[u8]]) {
    let mut push = redis::cmd("RPUSH");
    push.arg(LIST);
    for entry in entries {
        push.arg(*entry);
    }
    push.query::<u64>(stranger).unwrap();
}

#[tokio::test]
async fn a_taker_that_is_killed_before_it_settles_is_given_the_same_entries_first() {
    let scene = Scene::new(Wanted::default());
    push(&mut scene.stranger(), &[b"1", b"2", b"3"]);
    let mut first = scene.intake();
    assert_eq!(first.take(2, SOON).await.unwrap(), [entry("1"), entry("2")]);
    drop(first);
    let mut second = scene.intake();
    let again = second.take(10, SOON).await.unwrap();
    assert_eq!(again, [entry("1"), entry("2"), entry("3")]);
    assert!(second.settle(&[]).await.unwrap());
    assert_eq!(second.take(10, SOON).await.unwrap(), []);
    assert_eq!(second.lengths().await.unwrap(), (0, 0));
}

#[tokio::test]
async fn a_server_that_is_killed_gives_back_what_was_not_settled_and_nothing_that_was() {
    let mut scene = Scene::new(Wanted {
        durable: true,
        ..Wanted::default()
    });
    push(&mut scene.stranger(), &[b"1", b"2", b"3"]);
    let mut intake = scene.intake();
    assert_eq!(intake.take(1, SOON).await.unwrap(), [entry("1")]);
    assert!(intake.settle(&[]).await.unwrap());
    assert_eq!(intake.take(1, SOON).await.unwrap(), [entry("2")]);
    scene.server.kill();
    assert!(matches!(
        intake.settle(&[]).await,
        Err(RedisFault::Away { .. })
    ));
    scene.server.start_again().unwrap();
    let rest = loop {
        match intake.take(10, SOON).await {
            Ok(rest) => break rest,
            Err(fault) => assert!(fault.may_pass(), "{fault}"),
        }
    };
    assert_eq!(rest, [entry("2"), entry("3")]);
}

#[tokio::test]
async fn what_one_has_taken_is_not_handed_to_another_of_its_name_until_the_operator_says_so() {
    let scene = Scene::new(Wanted::default());
    push(&mut scene.stranger(), &[b"X", b"Y", b"X", b"Z"]);
    let owned = |owner: &str| scene.intake().owned_by(owner.to_owned(), vec![]);
    let (mut one, mut other) = (owned("one"), owned("other"));
    assert_eq!(one.take(2, SOON).await.unwrap(), [entry("X"), entry("Y")]);
    let refused = other.take(2, SOON).await.unwrap_err();
    assert!(
        matches!(&refused, RedisFault::TakenByAnother { other, us, .. } if other == "one" && us == "other"),
        "{refused}"
    );
    assert!(refused.may_pass());
    assert!(other.settle(&[]).await.unwrap(), "it was given nothing");
    assert!(one.settle(&[]).await.unwrap());
    assert_eq!(other.take(1, SOON).await.unwrap(), [entry("X")]);
    assert!(matches!(
        one.take(2, SOON).await,
        Err(RedisFault::TakenByAnother { .. })
    ));

    // The other one is gone for good.
    let said = one.take(2, SOON).await.unwrap_err().to_string();
    assert!(
        said.contains("HDEL mint:quotes:create:taken:main:owner owner"),
        "{said}"
    );
    redis::cmd("HDEL")
        .arg(&["mint:quotes:create:taken:main:owner", "owner"])
        .query::<u64>(&mut scene.stranger())
        .unwrap();
    assert_eq!(one.take(2, SOON).await.unwrap(), [entry("X"), entry("Z")]);
    assert!(one.settle(&[]).await.unwrap());
    assert_eq!(
        other.take(1, SOON).await.unwrap(),
        [],
        "nobody owns an empty list"
    );
}

#[tokio::test]
async fn who_goes_on_under_a_new_identity_says_which_was_its_own() {
    let scene = Scene::new(Wanted::default());
    push(&mut scene.stranger(), &[b"1"]);
    let mut before = scene.intake().owned_by("first".to_owned(), vec![]);
    assert_eq!(before.take(1, SOON).await.unwrap(), [entry("1")]);
    let mut after = scene
        .intake()
        .owned_by("second".to_owned(), vec!["first".to_owned()]);
    assert_eq!(after.take(1, SOON).await.unwrap(), [entry("1")]);
    let late = before.take(1, SOON).await;
    assert!(matches!(late, Err(RedisFault::TakenByAnother { .. })));
    assert!(after.settle(&[]).await.unwrap());
}

#[tokio::test]
async fn a_settling_that_comes_late_takes_away_nothing_that_was_handed_over_since() {
    let scene = Scene::new(Wanted::default());
    push(&mut scene.stranger(), &[b"X", b"Y", b"X", b"Z"]);
    let (mut late, mut again) = (scene.intake(), scene.intake());
    assert_eq!(late.take(2, SOON).await.unwrap(), [entry("X"), entry("Y")]);
    assert_eq!(again.take(2, SOON).await.unwrap(), [entry("X"), entry("Y")]);
    assert!(again.settle(&[]).await.unwrap());
    assert_eq!(again.take(2, SOON).await.unwrap(), [entry("X"), entry("Z")]);
    let letter = DeadLetter {
        taken: entry("X"),
        reason: "bad".to_owned(),
        unix_ms: 1,
    };
    assert!(
        !late.settle(&[letter]).await.unwrap(),
        "the same beginning, and another batch"
    );
    assert_eq!(
        late.lengths().await.unwrap(),
        (0, 0),
        "nothing was put aside"
    );
    assert_eq!(
        scene.intake().take(2, SOON).await.unwrap(),
        [entry("X"), entry("Z")]
    );
}

fn ask<T: redis::FromRedisValue>(stranger: &mut redis::Connection, command: &[&str]) -> T {
    let (name, arguments) = command.split_first().unwrap();
    redis::cmd(name).arg(arguments).query(stranger).unwrap()
}

#[tokio::test]
async fn a_server_whose_memory_is_used_up_is_emptied_all_the_same() {
    let scene = Scene::new(Wanted::default());
    let mut stranger = scene.stranger();
    push(&mut stranger, &[b"1", b"2", b"3"]);
    let mut intake = scene.intake();
    assert_eq!(intake.take(1, SOON).await.unwrap(), [entry("1")]);
    ask::<()>(&mut stranger, &["CONFIG", "SET", "maxmemory", "1"]);
    let refused = redis::cmd("RPUSH")
        .arg(&[LIST, "4"])
        .query::<u64>(&mut stranger);
    assert!(refused.unwrap_err().to_string().contains("OOM"));
    let all = intake.take(10, SOON).await.unwrap();
    assert_eq!(all, [entry("1"), entry("2"), entry("3")]);
    let letter = DeadLetter {
        taken: entry("2"),
        reason: "bad".to_owned(),
        unix_ms: 1,
    };
    assert!(intake.settle(&[letter]).await.unwrap());
    assert_eq!(intake.lengths().await.unwrap(), (0, 1));
}

#[tokio::test]
async fn a_server_that_has_become_a_replica_is_looked_for_anew() {
    let scene = Scene::new(Wanted::default());
    let mut stranger = scene.stranger();
    push(&mut stranger, &[b"1"]);
    let mut intake = scene.intake();
    let mut handover = scene.handover();
    let ids = [
        ("aa".to_owned(), "id".to_owned()),
        ("bb".to_owned(), "id".to_owned()),
    ];
    assert_eq!(intake.take(1, SOON).await.unwrap(), [entry("1")]);
    handover.set_quote_ids(&ids, 60).await.unwrap();
    let connections = |stranger: &mut redis::Connection| -> Vec<String> {
        let listed: String = ask(stranger, &["CLIENT", "LIST", "TYPE", "normal"]);
        let id = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
        listed.lines().map(id).collect()
    };
    let before = connections(&mut stranger);
    assert_eq!(before.len(), 3);
    ask::<()>(&mut stranger, &["REPLICAOF", "127.0.0.1", "1"]);
    let refused = intake.settle(&[]).await.unwrap_err();
    assert!(refused.to_string().contains("ReadOnly"), "{refused}");
    let refused = handover
        .set_quote_ids(&ids, 60)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("the first of 2 commands") && refused.contains("ReadOnly"),
        "{refused}"
    );
    ask::<()>(&mut stranger, &["REPLICAOF", "NO", "ONE"]);
    assert_eq!(intake.take(1, SOON).await.unwrap(), [entry("1")]);
    assert!(intake.settle(&[]).await.unwrap());
    handover.set_quote_ids(&ids, 60).await.unwrap();
    let after = connections(&mut stranger);
    let kept: Vec<_> = after.iter().filter(|id| before.contains(id)).collect();
    assert_eq!(kept.len(), 1, "the stranger's alone: {before:?} {after:?}");
}

#[tokio::test]
async fn an_entry_of_ten_megabytes_is_told_and_not_transferred() {
    let scene = Scene::new(Wanted::default());
    let huge = vec![b'x'; 10 * 1024 * 1024];
    push(&mut scene.stranger(), &[b"1", &huge, b"2"]);
    let mut intake = scene.intake();
    let taken = intake.take(10, SOON).await.unwrap();
    let [before, Taken::TooLong { bytes, start }, after] = &taken[..] else {
        panic!("{}", taken.len());
    };
    assert_eq!((before, after), (&entry("1"), &entry("2")));
    assert_eq!(
        (*bytes, start.len()),
        (10 * 1024 * 1024, DEAD_LETTER_ENTRY_BYTES_MAX)
    );
    let letter = DeadLetter {
        taken: taken[1].clone(),
        reason: "too long".to_owned(),
        unix_ms: 7,
    };
    assert!(intake.settle(&[letter]).await.unwrap());
    let dead: Vec<String> = redis::cmd("LRANGE")
        .arg(DEAD)
        .arg(0)
        .arg(-1)
        .query(&mut scene.stranger())
        .unwrap();
    let [dead] = &dead[..] else {
        panic!("{dead:?}");
    };
    assert!(
        dead.contains(r#""reason":"too long""#) && dead.len() < 2 * DEAD_LETTER_ENTRY_BYTES_MAX
    );
    assert!(dead.contains(r#""bytes":10485760"#), "its length is known");
}

#[tokio::test]
async fn long_entries_come_a_few_at_a_time_and_in_order() {
    let scene = Scene::new(Wanted::default());
    let long: Vec<Vec<u8>> = (0..64_u8).map(|n| vec![n; ENTRY_BYTES_MAX]).collect();
    let all: Vec<&[u8]> = long.iter().map(Vec::as_slice).collect();
    push(&mut scene.stranger(), &all);
    let mut intake = scene.intake();
    let mut came = Vec::new();
    while came.len() < long.len() {
        let some = intake.take(1_000, SOON).await.unwrap();
        assert!(some.len() * ENTRY_BYTES_MAX <= TAKEN_BYTES_MAX + ENTRY_BYTES_MAX);
        assert!(!some.is_empty());
        came.extend(some);
        assert!(intake.settle(&[]).await.unwrap());
    }
    let sent: Vec<Taken> = long.into_iter().map(Taken::Entry).collect();
    assert!(came == sent, "all of them, in their order");
}

#[tokio::test]
async fn keys_of_other_types_are_named_and_what_was_pushed_waits() {
    let scene = Scene::new(Wanted::default());
    let mut stranger = scene.stranger();
    let mut intake = scene.intake();
    redis::cmd("SET")
        .arg(LIST)
        .arg("no list")
        .query::<()>(&mut stranger)
        .unwrap();
    let wrong = intake.take(1, SOON).await.unwrap_err();
    assert!(wrong.to_string().contains(LIST) && matches!(wrong, RedisFault::WrongType { .. }));
    let wrong = scene
        .handover()
        .push(&["x".to_owned()], 10)
        .await
        .unwrap_err();
    assert!(wrong.to_string().contains("is no list"), "{wrong}");
    redis::cmd("DEL")
        .arg(LIST)
        .query::<()>(&mut stranger)
        .unwrap();
    push(&mut stranger, &[b"1"]);
    assert_eq!(
        intake.take(1, SOON).await.unwrap(),
        [entry("1")],
        "it goes on by itself"
    );

    // The dead letters' list is somebody's text: nothing may leave the list of what was taken.
    redis::cmd("SET")
        .arg(DEAD)
        .arg("no list")
        .query::<()>(&mut stranger)
        .unwrap();
    let letter = DeadLetter {
        taken: entry("1"),
        reason: "bad".to_owned(),
        unix_ms: 1,
    };
    let wrong = intake
        .settle(std::slice::from_ref(&letter))
        .await
        .unwrap_err();
    assert!(matches!(wrong, RedisFault::WrongType { .. }), "{wrong}");
    assert_eq!(intake.take(1, SOON).await.unwrap(), [entry("1")]);

    let mut handover = scene.handover();
    redis::cmd("HSET")
        .arg("mint:quotes:hash:aa")
        .arg("a")
        .arg("b")
        .query::<()>(&mut stranger)
        .unwrap();
    redis::cmd("SET")
        .arg("mint:quotes:hash:bb")
        .arg(vec![b'x'; 1 << 20])
        .query::<()>(&mut stranger)
        .unwrap();
    handover
        .set_quote_ids(&[("cc".to_owned(), "id".to_owned())], 60)
        .await
        .unwrap();
    let hashes = ["aa", "bb", "cc", "dd"].map(str::to_owned);
    assert_eq!(
        handover.quote_ids(&hashes).await.unwrap(),
        [
            QuoteId::Strange,
            QuoteId::Strange,
            QuoteId::Known("id".to_owned()),
            QuoteId::None
        ]
    );

    let redis = scene.server.config().open().unwrap();
    let mut keyset = KeysetKey::new(&redis, "mint:keyset:active");
    assert_eq!(keyset.read().await.unwrap(), None);
    redis::cmd("SET")
        .arg("mint:keyset:active")
        .arg(vec![b'x'; 1 << 20])
        .query::<()>(&mut stranger)
        .unwrap();
    assert!(matches!(
        keyset.read().await,
        Err(RedisFault::WrongType { .. })
    ));
    keyset.write("{}").await.unwrap();
    assert_eq!(keyset.read().await.unwrap().as_deref(), Some(&b"{}"[..]));
}

#[tokio::test]
async fn a_list_that_is_full_takes_no_more() {
    let scene = Scene::new(Wanted::default());
    let mut handover = scene.handover();
    let entries = ["1", "2", "3"].map(str::to_owned);
    assert_eq!(handover.push(&entries, 2).await.unwrap(), 2);
    assert_eq!(handover.push(&entries, 2).await.unwrap(), 0);
    let taken = scene.intake().take(10, SOON).await.unwrap();
    assert_eq!(taken, [entry("1"), entry("2")]);
}

#[tokio::test]
async fn with_tls_and_a_password_it_works_and_a_wrong_password_is_named_and_not_told() {
    const RIGHT: &str = "correct-horse";
    const WRONG: &str = "battery-staple";
    let scene = Scene::new(Wanted {
        durable: false,
        tls: true,
        password: Some(RIGHT.to_owned()),
    });
    let config = scene.server.config();
    let redis = config.open().unwrap();
    redis.greet().await.unwrap();
    let mut handover = Handover::new(&redis, LIST, "mint:quotes:hash");
    assert_eq!(handover.push(&["1".to_owned()], 10).await.unwrap(), 1);
    let mut intake = Intake::new(&redis, LIST, DEAD, "main");
    assert_eq!(intake.take(1, SOON).await.unwrap(), [entry("1")]);
    assert!(intake.settle(&[]).await.unwrap());

    let file = scene.folder.path().join("wrong");
    winze_runtime::keyfile::write_secret_text(&file, WRONG).unwrap();
    let mut wrong = config.clone();
    wrong.password_file = Some(winze_runtime::config::ConfigPath::new(&file));
    let refused = wrong.open().unwrap().greet().await.unwrap_err();
    assert!(matches!(refused, RedisFault::Login { .. }) && !refused.may_pass());
    for said in [
        refused.to_string(),
        format!("{refused:?}"),
        format!("{wrong:?}"),
    ] {
        assert!(!said.contains(WRONG) && !said.contains(RIGHT), "{said}");
    }

    let mut without = config.clone();
    (without.username, without.password_file) = (None, None);
    let refused = without.open().unwrap().greet().await.unwrap_err();
    assert!(
        matches!(
            refused,
            RedisFault::Login { .. } | RedisFault::NotAllowed { .. }
        ),
        "{refused}"
    );

    let mut unknown = config;
    unknown.tls = Some(winze_redis::RedisTls { ca_file: None });
    let refused = unknown.open().unwrap().greet().await.unwrap_err();
    assert!(
        matches!(refused, RedisFault::Away { .. }),
        "nobody vouches for it: {refused}"
    );
}
