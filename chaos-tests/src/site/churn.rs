//! A stream of small revisions, each different from the one before.

use std::fs;
use std::path::PathBuf;

use crate::LabError;
use crate::lab::Lab;

/// Writes one policy document again and again with another client in it.
pub struct Churn {
    file: PathBuf,
    count: u32,
}

impl Churn {
    /// A stream whose document has this name.
    pub fn new(lab: &Lab, name: &str) -> Result<Self, LabError> {
        Ok(Self { file: lab.make_dir("churn")?.join(format!("{name}.yaml")), count: 0 })
    }

    /// Writes the next one and returns its file.
    pub fn write_next(&mut self) -> Result<PathBuf, LabError> {
        self.count += 1;
        let name = self.file.file_stem().unwrap_or_default().to_string_lossy();
        let client = format!("198.51.{}.{}", 100 + self.count / 250 % 100, 1 + self.count % 250);
        let text = format!(
            "apiVersion: hedgerow/v1\nkind: Policy\nmetadata: {{name: {name}}}\nspec:\n  tier: application\n  order: 500\n  \
             appliesTo: {{segment: shop}}\n  ingress:\n    - {{name: guest-{}, action: allow, from: [{{cidr: {client}/32}}], services: \
             [http]}}\n",
            self.count
        );
        fs::write(&self.file, text).map_err(LabError::io(format!("writing {}", self.file.display())))?;
        Ok(self.file.clone())
    }
}
