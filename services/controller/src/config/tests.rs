use super::*;

fn load(text: &str) -> Result<Loaded, settings::Error> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config.yaml");
    std::fs::write(&path, text).unwrap();
    let line = ["evenkeel-controller".into(), "--config".into(), path.into_os_string()];
    Arguments::load(line)
}

fn refused(text: &str) -> String {
    match load(text) {
        Err(error) => error.to_string(),
        Ok(_) => panic!("this was taken: {text}"),
    }
}

#[test]
fn defaults_are_those_of_the_contract() {
    for line in [vec!["evenkeel-controller"], vec!["evenkeel-controller", "--config", ""]] {
        let loaded = Arguments::load(line.into_iter().map(OsString::from)).unwrap();
        let config = loaded.settings.arguments.config;
        assert_eq!(config.settings().cooldown, Duration::from_secs(300));
        assert_eq!(config.settings().poll, Duration::from_secs(10));
        assert_eq!(config.namespace, "kubernaut-system");
        assert!(config.leader_election && config.retention.is_none());
        assert_eq!(config.leader_election_id, "workflowexecution.kubernaut.ai");
    }
}

#[test]
fn an_existing_file_is_taken_and_what_is_not_for_us_is_told() {
    let text = "
execution: {namespace: kubernaut-workflows, cooldownPeriod: 1m}
datastorage:
  url: http://data-storage-service:8080
  timeout: 10s
  buffer: {bufferSize: 10000, batchSize: 50, flushInterval: 100ms, maxRetries: 3}
controller: {metricsAddr: ':9090', healthProbeAddr: ':8081', leaderElection: false, leaderElectionId: we}
ansible:
  apiURL: https://awx.example
  tokenSecretRef: {name: awx, namespace: ops, key: token}
  organizationID: 0
";
    let loaded = load(text).unwrap();
    let Config { cooldown, admin_listen, metrics_listen, leader_election, leader_election_id, .. } =
        loaded.settings.arguments.config;
    assert_eq!((cooldown.as_secs(), leader_election, leader_election_id.as_str()), (60, false, "we"));
    assert_eq!((admin_listen.port(), metrics_listen.unwrap().port()), (8081, 9090));
    assert!(admin_listen.ip().is_unspecified());
    let url = loaded.settings.arguments.config.datastorage_url;
    assert_eq!(url.unwrap().to_string(), "http://data-storage-service:8080/");
    assert!(loaded.settings.notes.iter().any(|note| note.starts_with("ansible.apiURL: is for the executor")));
}

#[test]
fn a_file_that_is_missing_or_no_yaml_is_fatal_and_named() {
    let line = ["evenkeel-controller", "--config", "/nowhere/config.yaml"].map(OsString::from);
    let error = Arguments::load(line).err().unwrap().to_string();
    assert!(error.contains("/nowhere/config.yaml"), "{error}");
    assert!(refused("execution: [").contains("config.yaml:"));
}

#[test]
fn what_must_not_be_empty_is_refused_with_its_line() {
    for (text, key) in [
        ("execution:\n  namespace: ''\n", "execution.namespace"),
        ("controller:\n  namespace: ''\n", "controller.namespace"),
        ("controller:\n  metricsAddr: ''\n", "controller.metricsAddr"),
        ("controller:\n  healthProbeAddr: ''\n", "controller.healthProbeAddr"),
        ("controller:\n  leaderElectionId: ''\n", "controller.leaderElectionId"),
        ("datastorage:\n  url: ''\n", "datastorage.url"),
        ("datastorage:\n  timeout: 0s\n", "datastorage.timeout"),
        ("execution:\n  cooldownPeriod: 0s\n", "execution.cooldownPeriod"),
        ("retention:\n  finished: 0s\n", "retention.finished"),
        ("ansible:\n  apiURL: awx\n", "ansible.apiURL"),
        ("controller:\n  leaderElectionId: A B\n", "controller.leaderElectionId"),
        ("audit:\n  address: nonsense\n", "audit.address"),
        ("# no port\nexecutors: [abc]\n", "executors"),
        ("execution:\n  cooldown: 5m\n", "unknown key 'execution.cooldown'"),
    ] {
        let message = refused(text);
        assert!(message.contains("config.yaml:2: ") && message.contains(key), "{text}: {message}");
    }
}

#[test]
fn no_cooldown_at_all_is_refused() {
    let parsed = Arguments::try_parse_from(["evenkeel-controller", "--cooldown", "0s"]);
    assert!(parsed.unwrap_err().to_string().contains("above zero"));
}

#[test]
fn executors_are_listed_with_commas_or_as_a_list_and_each_once() {
    let by_flag = Arguments::parse_from(["evenkeel-controller", "--executor", "a:1,b:2"]).config;
    let by_file = load("executors: ['a:1', 'b:2']\n").unwrap().settings.arguments.config;
    assert_eq!(by_flag.executors, ["a:1", "b:2"]);
    assert_eq!(by_file.executors, by_flag.executors);
    assert!(refused("executors: ['a:1', 'a:1']\n").contains("a:1 is named twice"));
}

#[test]
fn every_setting_has_a_key() {
    let command = <Arguments as clap::CommandFactory>::command();
    let known: Vec<_> = KEYS
        .iter()
        .filter_map(|key| match key.means {
            settings::Means::Argument(id) | settings::Means::Secret(id) => Some(id),
            settings::Means::Other { .. } => None,
        })
        .collect();
    let about_the_program = ["file", "print_config", "help", "version"];
    for argument in command.get_arguments() {
        let id = argument.get_id().as_str();
        assert!(known.contains(&id) || about_the_program.contains(&id), "{id} has no key in the file");
    }
    for id in known {
        assert!(command.get_arguments().any(|argument| argument.get_id() == id), "{id} is no argument");
    }
    for path in ["execution.cooldownPeriod", "retention.finished"] {
        assert!(is_live(path) && KEYS.iter().any(|key| key.path == path));
    }
}

#[test]
fn a_token_is_never_printed() {
    let loaded = load("security:\n  token: very-secret\n").unwrap();
    let printed = loaded.settings.print();
    assert!(printed.contains("token") && !printed.contains("very-secret"), "{printed}");
}

#[test]
fn the_definitions_can_be_printed_without_any_setting() {
    let parsed = Arguments::parse_from(["evenkeel-controller", "crd"]);
    assert!(matches!(parsed.command, Some(Command::Crd { name: None })));
}

#[test]
fn what_does_not_hold_is_off_and_never_zero() {
    let parsed = |line: &[&str]| Arguments::try_parse_from([&["evenkeel-controller"], line].concat());
    let settings = parsed(&[]).unwrap().config.settings();
    assert_eq!((settings.backoff.as_secs(), settings.backoff_max.as_secs(), settings.block), (60, 600, true));
    let off = ["--cooldown", "off", "--backoff", "off", "--block", "false"];
    let settings = parsed(&off).unwrap().config.settings();
    assert_eq!(
        (settings.cooldown, settings.backoff, settings.block),
        (Duration::ZERO, Duration::ZERO, false)
    );
    for text in ["off", "'off'", "false"] {
        let text = format!("execution: {{cooldownPeriod: {text}, backoffPeriod: {text}}}\n");
        let settings = load(&text).unwrap().settings.arguments.config.settings();
        assert_eq!((settings.cooldown, settings.backoff), (Duration::ZERO, Duration::ZERO), "{text}");
    }
    for flag in ["--cooldown", "--backoff", "--backoff-max"] {
        assert!(parsed(&[flag, "0s"]).is_err(), "{flag}");
    }
}

#[test]
fn the_namespace_is_taken_from_the_variable_that_existing_installations_set() {
    let namespace = |line: &[&str], ours: Option<&str>| {
        let line: Vec<OsString> = line.iter().map(OsString::from).collect();
        let line = with_namespace(&line, |name| match name {
            "EVENKEEL_NAMESPACE" => ours.map(OsString::from),
            _ => Some("theirs".into()),
        });
        Arguments::parse_from(line).config.namespace
    };
    assert_eq!(namespace(&["evenkeel-controller"], None), "theirs");
    assert_eq!(namespace(&["evenkeel-controller", "--namespace", "flag"], None), "flag");
    assert_ne!(namespace(&["evenkeel-controller"], Some("ours")), "theirs");
}
