//! Settings of `list`.

use std::time::Duration;

use super::layers::Layers;
use super::store::store;
use super::values::{choice, link_time};
use super::{UsageError, deadline, policy_without_redaction};
use crate::cli::{Flags, ListArgs};
use crate::object::key::Place;
use crate::store::StoreSettings;

/// The form of a listing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Form {
    #[default]
    Text,
    Json,
    Html,
}

#[derive(Debug, Clone)]
pub struct ListSettings {
    pub store: StoreSettings,
    pub deadline: Duration,
    /// `project`, `project/app` or `project/app/env`.
    pub under: String,
    pub form: Form,
    /// Lifetime of the links; `None` for no links.
    pub links: Option<Duration>,
}

impl ListSettings {
    /// Returns the settings of `list`.
    ///
    /// # Errors
    /// When a setting is missing or invalid.
    pub fn of_list(args: &ListArgs, flags: &Flags) -> Result<Self, UsageError> {
        let names = [Some(&args.project), args.app.as_ref(), args.env.as_ref()];
        let names: Vec<&str> = names.into_iter().flatten().map(String::as_str).collect();
        let part = |index: usize| names.get(index).copied().unwrap_or("any");
        Place::new(part(0), part(1), part(2))?;
        let layers = Layers::read(flags, args.config.config.as_deref())?;
        let links = layers.parse("links", link_time)?;
        let forms = [("text", Form::Text), ("json", Form::Json), ("html", Form::Html)];
        let form = layers.parse("output", |text| choice(text, &forms))?.unwrap_or_default();
        let store = store(&layers, &policy_without_redaction(&layers)?)?;
        Ok(Self { store, deadline: deadline(&layers)?, under: names.join("/"), form, links })
    }
}
