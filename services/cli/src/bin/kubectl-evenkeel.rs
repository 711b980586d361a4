//! The same as `evenkeel`, under the name by which kubectl finds it: `kubectl evenkeel`.

fn main() -> std::process::ExitCode {
    evenkeel_cli::main()
}
