//! The pages know every variable, every refusal and every code that the binary knows.

use std::path::Path;
use std::process::Command;

use guard::nas::Code;
use guard::refusal::Reason;

fn page(name: &str) -> std::io::Result<String> {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name))
}

/// The variables that `--help` of a subcommand names.
fn variables(subcommand: &str) -> std::io::Result<Vec<String>> {
    let output = Command::new(env!("CARGO_BIN_EXE_guard")).args([subcommand, "--help"]).output()?;
    let help = String::from_utf8_lossy(&output.stdout).into_owned();
    let words = help.split(|c: char| !c.is_ascii_uppercase() && c != '_');
    Ok(words.filter(|word| word.starts_with("GUARD_")).map(str::to_owned).collect())
}

#[test]
fn every_variable_has_its_row() -> std::io::Result<()> {
    for (subcommand, name, least) in [("origin", "docs/origin.md", 19), ("nas", "docs/nas.md", 8)] {
        let (page, variables) = (page(name)?, variables(subcommand)?);
        assert!(variables.len() >= least, "{variables:?}");
        for variable in variables {
            assert!(page.contains(&format!("`{variable}`")), "{variable} in {name}");
        }
    }
    Ok(())
}

#[test]
fn every_refusal_has_its_row() -> std::io::Result<()> {
    let page = page("docs/origin.md")?;
    for reason in Reason::ALL {
        assert!(page.contains(&format!("`{}`", reason.label())), "{}", reason.label());
    }
    Ok(())
}

#[test]
fn every_code_has_its_row_and_the_anchor_that_its_message_names() -> std::io::Result<()> {
    let (nas, troubleshooting) = (page("docs/nas.md")?, page("troubleshooting.md")?);
    for code in Code::ALL {
        assert!(nas.contains(&format!("| {} | `{}` |", code.exit(), code.label())), "{code:?}");
        assert!(
            troubleshooting.contains(&format!("<a id=\"{}\"></a>{} `{}`", code.anchor(), code.exit(), code.label())),
            "{code:?}"
        );
    }
    Ok(())
}
