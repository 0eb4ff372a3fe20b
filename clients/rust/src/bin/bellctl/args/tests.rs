//! The command line holds together, and says what it should.

use clap::CommandFactory as _;

use super::*;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split_whitespace())
}

#[test]
fn the_commands_are_well_formed() {
    Cli::command().debug_assert();
}

#[test]
fn every_command_has_examples_or_commands_of_its_own() {
    fn check(command: &clap::Command) {
        for child in command.get_subcommands() {
            let has_children = child.get_subcommands().next().is_some();
            let examples = child.get_after_help().map(ToString::to_string);
            let has_examples = examples.is_some_and(|text| text.starts_with("Example"));
            assert!(has_children || has_examples, "{}", child.get_name());
            check(child);
        }
    }
    check(&Cli::command());
}

#[test]
fn exit_codes_are_documented() {
    let help = Cli::command().render_help().to_string();
    assert!(help.contains("was cancelled"), "{help}");
}

#[test]
fn flags_may_stand_behind_the_command() {
    let cli = parse("bellctl run list --state failed --endpoint h:1 --output json").unwrap();
    assert_eq!(cli.globals.endpoint(), "http://h:1");
    assert_eq!(cli.globals.output, Format::Json);
}

#[test]
fn relative_times_are_no_flags() {
    parse("bellctl run list --since -2h").unwrap();
    parse("bellctl schedule preview --task a --after -2h --until +3d").unwrap();
    parse("bellctl task backfill a --from -2d --to now").unwrap();
}

#[test]
fn a_wrong_value_is_told_with_its_flag() {
    let error = parse("bellctl run list --since yesterday").unwrap_err();
    assert_eq!(error.exit_code(), 2);
    let text = error.to_string();
    assert!(
        text.contains("--since") && text.contains("such as"),
        "{text}"
    );
}

#[test]
fn one_schedule_at_a_time() {
    let error = parse("bellctl task create a --kind k --every 5m --cron @daily").unwrap_err();
    assert!(error.to_string().contains("--cron"), "{error}");
}

#[test]
fn a_filter_can_ask_for_the_opposite() {
    let cli = parse("bellctl task list --paused=false --failing").unwrap();
    let Command::Task(TaskCommand::List(list)) = cli.command else {
        panic!("not a list");
    };
    assert_eq!((list.paused, list.failing), (Some(false), Some(true)));
}

#[test]
fn a_pause_ends_after_a_while_or_at_a_time() {
    let end = |line| match parse(line).unwrap().command {
        Command::Pause(pause) => pause.end(),
        _ => None,
    };
    assert_eq!(end("bellctl pause --for 2h"), "+2h".parse().ok());
    assert_eq!(
        end("bellctl pause --until 2026-03-08"),
        "2026-03-08".parse().ok()
    );
    assert_eq!(end("bellctl pause"), None);
    assert!(parse("bellctl pause --for 2h --until +2h").is_err());
}
