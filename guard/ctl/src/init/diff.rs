//! What would change in files: the lines that go and the lines that come, without those around them.

use super::files::Files;

/// The lines that differ, each with its sign.
pub(crate) fn lines(before: &str, after: &str) -> Vec<String> {
    let (old, new): (Vec<_>, Vec<_>) = (before.lines().collect(), after.lines().collect());
    // The length of the longest common rest, for each pair of places. The files have some dozens of lines.
    let mut common = vec![vec![0_usize; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i][j] = if old[i] == new[j] { common[i + 1][j + 1] + 1 } else { common[i + 1][j].max(common[i][j + 1]) };
        }
    }
    let (mut i, mut j, mut found) = (0, 0, Vec::new());
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            (i, j) = (i + 1, j + 1);
        } else if j == new.len() || i < old.len() && common[i + 1][j] >= common[i][j + 1] {
            found.push(format!("- {}", old[i].trim()));
            i += 1;
        } else {
            found.push(format!("+ {}", new[j].trim()));
            j += 1;
        }
    }
    found
}

/// What changes in the files of the overlay; a new one is compared with the example's.
pub(crate) fn files(folder: &str, example: &Files, before: &Files, after: &Files) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in after {
        let old = before.get(path);
        if old == Some(text) {
            continue;
        }
        found.push(format!("{} {folder}/{path}", if old.is_some() { '~' } else { '+' }));
        let base = old.or_else(|| example.get(path)).map_or("", String::as_str);
        found.extend(lines(base, text).into_iter().map(|line| format!("    {line}")));
    }
    found
}

/// The objects that change, and how many are new: a new home has dozens.
pub(crate) fn summary(lines: &[String]) -> Vec<String> {
    const FEW: usize = 8;
    let (new, changed): (Vec<_>, Vec<_>) = lines.iter().partition(|line| line.starts_with('+'));
    let new = if new.len() > FEW { vec![format!("+ {} objects", new.len())] } else { new.into_iter().cloned().collect() };
    new.into_iter().chain(changed.into_iter().cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_shown() {
        assert_eq!(lines("a\nb\nc\n", "a\nx\nc\nd\n"), ["- b", "+ x", "+ d"]);
        assert!(lines("a\n", "a\n").is_empty());
        assert_eq!(lines("", "a\n"), ["+ a"]);
        assert_eq!(lines("a\n", ""), ["- a"]);
    }

    #[test]
    fn a_new_home_is_a_number_and_a_change_is_named() {
        let mut objects: Vec<_> = (0..9).map(|number| format!("+ {number}")).collect();
        objects.push("~ v1.Service.immich.a".to_owned());
        assert_eq!(summary(&objects), ["+ 9 objects", "~ v1.Service.immich.a"]);
        assert_eq!(summary(&objects[..2]), ["+ 0", "+ 1"]);
    }

    #[test]
    fn a_new_file_is_compared_with_the_example() {
        let files_of =
            |pairs: &[(&str, &str)]| pairs.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect::<Files>();
        let example = files_of(&[("a.yaml", "x: 1\ny: 2\n")]);
        let after = files_of(&[("a.yaml", "x: 1\ny: 3\n"), ("b.yaml", "z\n")]);
        let found = files("o", &example, &Files::new(), &after);
        assert_eq!(found, ["+ o/a.yaml", "    - y: 2", "    + y: 3", "+ o/b.yaml", "    + z"]);
        assert!(files("o", &example, &after, &after).is_empty());
    }
}
