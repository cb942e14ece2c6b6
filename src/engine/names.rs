//! The names by which rows may call the base model (`body.model`).
//!
//! Engines disagree on names they do not know: vLLM answers 404, llama-server answers from the base model without a word.
//! So names are decided here, and every row of the base goes out with [`AcceptedNames::sent`].

use super::model::BaseModel;

/// Every name that means the base model; never empty, each name once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptedNames(Vec<String>);

/// What is wrong with a name of `spec.server.servedModelNames`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// An engine would read it as an option.
    #[error(
        "servedModelNames has {name:?}, which the model server would read as an option: a name cannot begin with '-'"
    )]
    LooksLikeOption {
        /// What was written.
        name: String,
    },
    /// Empty, or with a character that cannot be passed on safely.
    #[error("servedModelNames has {name:?}: a name cannot be empty or have a comma, a '$' or a control character")]
    BadCharacter {
        /// What was written.
        name: String,
    },
}

impl AcceptedNames {
    /// The value of `spec.server.baseModel`, its repository, and `spec.server.servedModelNames`, in this order.
    ///
    /// # Errors
    /// When a served name cannot be passed to a server.
    pub fn new(model: &BaseModel, served_model_names: &[String]) -> Result<Self, NameError> {
        let mut names = vec![model.value().to_owned()];
        let others = model
            .repository()
            .into_iter()
            .chain(served_model_names.iter().map(String::as_str));
        for name in others {
            check(name)?;
            if !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
        }
        Ok(Self(names))
    }

    /// Whether a row with this `body.model` is for the base. An empty name is: several engines take it so.
    #[must_use]
    pub fn accepts(&self, name: &str) -> bool {
        name.is_empty() || self.0.iter().any(|known| known == name)
    }

    /// The name that rows are sent with, and that answers carry, where a server can be told it: the value of `spec.server.baseModel`.
    #[must_use]
    pub fn sent(&self) -> &str {
        &self.0[0]
    }

    /// All names, the sent one first; without the empty name.
    #[must_use]
    pub fn as_slice(&self) -> &[String] {
        &self.0
    }
}

fn check(name: &str) -> Result<(), NameError> {
    if name.starts_with('-') {
        return Err(NameError::LooksLikeOption { name: name.to_owned() });
    }
    if name.is_empty() || name.contains(|c: char| c == ',' || c == '$' || c.is_control()) {
        return Err(NameError::BadCharacter { name: name.to_owned() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(model: &str, served: &[&str]) -> Result<AcceptedNames, NameError> {
        let model: BaseModel = model.parse().unwrap_or_else(|error| panic!("{model}: {error}"));
        let served: Vec<String> = served.iter().map(|name| (*name).to_owned()).collect();
        AcceptedNames::new(&model, &served)
    }

    #[test]
    fn the_value_its_repository_the_served_names_and_no_name_mean_the_base() {
        let names = names("qwen3-8b", &["gpt-4o-mini"]).expect("names");
        for name in ["", "qwen3-8b", "Qwen/Qwen3-8B", "gpt-4o-mini"] {
            assert!(names.accepts(name), "{name:?}");
        }
        for name in ["qwen3-14b", "Qwen3-8B", "gpt-4o"] {
            assert!(!names.accepts(name), "{name:?}");
        }
        assert_eq!(names.sent(), "qwen3-8b");
    }

    #[test]
    fn a_name_given_twice_is_passed_once() {
        let names = names("Qwen/Qwen3-8B", &["x", "Qwen/Qwen3-8B", "x"]).expect("names");
        assert_eq!(names.as_slice(), ["Qwen/Qwen3-8B", "x"]);
    }

    #[test]
    fn a_name_that_a_server_could_misread_is_refused() {
        assert_eq!(
            names("qwen3-8b", &["--api-key"]),
            Err(NameError::LooksLikeOption {
                name: "--api-key".into()
            })
        );
        for name in ["", "a,b", "$(HF_TOKEN)", "a\nb"] {
            assert_eq!(
                names("qwen3-8b", &[name]),
                Err(NameError::BadCharacter { name: name.into() })
            );
        }
    }
}
