//! The YAML that `guardctl oidc render` writes has the same values when it is read again.

use guardctl::lint::yaml::{Dialect, values};
use guardctl::oidc::render;
use proptest::prelude::*;
use serde_json::json;

proptest! {
    /// Whatever a secret is made of, it comes back as it was.
    #[test]
    fn any_text_comes_back_from_yaml(text in "\\PC{0,40}", control in any::<[char; 4]>()) {
        let text = format!("{text}{}", control.iter().collect::<String>());
        let config = json!({"oauth": {"clientSecret": text, "list": [text], "empty": {}, "none": null, "on": true}});
        let written = render::yaml(&config);
        prop_assert_eq!(&values(&written, Dialect::Plain).unwrap()[0], &config, "{}", written);
    }
}
