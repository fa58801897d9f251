//! The commands of a page: the `sh` blocks as they are printed, and the `text` block behind each, which is what they show.

/// Commands, and what they show in the end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Block {
    /// The commands, without their comments.
    pub commands: Vec<String>,
    /// The lines that the page shows behind them.
    pub shown: Vec<String>,
}

/// The blocks from one heading up to another.
pub(super) fn blocks(page: &str, from: &str, to: &str) -> Vec<Block> {
    let mut found: Vec<Block> = Vec::new();
    let mut lines = page.lines().skip_while(|line| *line != from).take_while(|line| *line != to);
    // What stands between a block of commands and one of text: nothing, if the text is theirs.
    let mut between = true;
    while let Some(line) = lines.next() {
        match line.trim() {
            "```sh" => {
                let body = lines.by_ref().take_while(|line| line.trim() != "```");
                found.push(Block { commands: commands(body), shown: Vec::new() });
                between = false;
            }
            "```text" => {
                let body: Vec<_> = lines.by_ref().take_while(|line| line.trim() != "```").map(str::to_owned).collect();
                if let Some(block) = found.last_mut().filter(|_| !between) {
                    block.shown = body;
                }
                between = true;
            }
            "" => {}
            _ => between = true,
        }
    }
    found
}

fn commands<'l>(lines: impl Iterator<Item = &'l str>) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for line in lines.filter(|line| !line.trim().is_empty()) {
        let command = line.split_once("  #").map_or(line, |(command, _)| command).trim();
        // What is continued is one command.
        match found.last_mut().filter(|last| last.ends_with(['|', '\\'])) {
            Some(last) => *last = format!("{} {command}", last.trim_end_matches('\\')),
            None => found.push(command.to_owned()),
        }
    }
    found
}

/// Whether a line of the page means this one: `…` stands for anything, and any white space for any other.
pub(super) fn means(page: &str, line: &str) -> bool {
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    let (page, line) = (words(page), words(line));
    let mut rest = line.as_str();
    for (number, part) in page.split('…').enumerate() {
        let at = if number == 0 { rest.starts_with(part).then_some(0) } else { rest.find(part) };
        match at {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.is_empty() || page.ends_with('…')
}
