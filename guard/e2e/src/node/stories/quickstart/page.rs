//! The commands of a page: the lines of its `sh` blocks, as they are printed.

/// The commands of the sections from one heading up to another, without their comments.
pub(super) fn commands(page: &str, from: &str, to: &str) -> Vec<String> {
    let section = page.lines().skip_while(|line| *line != from).take_while(|line| *line != to);
    let (mut inside, mut found): (bool, Vec<String>) = (false, Vec::new());
    for line in section {
        match line.trim() {
            "```sh" => inside = true,
            "```" => inside = false,
            "" => {}
            line if inside => {
                let command =
                    line.split_once("   #").or_else(|| line.split_once("  #")).map_or(line, |(command, _)| command).trim();
                // What is continued is one command.
                match found.last_mut().filter(|last| last.ends_with(['|', '\\'])) {
                    Some(last) => *last = format!("{} {command}", last.trim_end_matches('\\')),
                    None => found.push(command.to_owned()),
                }
            }
            _ => {}
        }
    }
    found
}
