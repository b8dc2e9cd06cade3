# The steps of the checks. `just` lists them, `just ci` does what CI does.

_list:
    @just --list

# everything that has to pass
ci: fmt clippy deny test

# the formatting is rustfmt's
fmt:
    cargo fmt --all --check
    cargo fmt --manifest-path fuzz/Cargo.toml --check

# no lint is left, in no combination of features
clippy:
    cargo clippy --workspace --all-targets --all-features -- -D warnings
    cargo clippy -p mcp-login --no-default-features -- -D warnings
    scripts/fuzz --clippy

# licences, sources and doubled crates are as deny.toml says
deny:
    scripts/deny

# known vulnerabilities, from the advisory database on the internet
advisories:
    cargo deny --all-features check advisories

# every test, with what it needs installed
test:
    scripts/test

# longer fuzzing of the rules: seconds for each target, and names of targets if not all
fuzz seconds="60" *targets:
    scripts/fuzz {{ seconds }} {{ targets }}

# the demo: a sign-in service, an MCP server and the gateway between them
demo *arguments:
    cargo run --release -- demo {{ arguments }}
