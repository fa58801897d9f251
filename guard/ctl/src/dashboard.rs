//! Writes the Grafana dashboard of the component `monitoring` from a table of rows and panels. The output is the file
//! apps/components/monitoring/dashboard.json; a test compares the two.
//!
//! Format: the dashboard JSON model of Grafana, schema version 39.

mod panels;

use std::io::Write as _;

use clap::Args;
use serde_json::{Value, json};

pub use panels::ROWS;

/// The arguments of `guardctl dashboard`.
#[derive(Args)]
#[command(after_help = "Examples:\n  guardctl dashboard > guard.json   # import it in Grafana: Dashboards > New > Import\n  \
                        guardctl dashboard > apps/components/monitoring/dashboard.json   # after a change of its table")]
pub struct DashboardArgs {}

/// A row of panels.
pub struct Row {
    /// The heading.
    pub title: &'static str,
    /// The panels, from left to right.
    pub panels: &'static [Panel],
}

/// One panel.
pub struct Panel {
    /// The heading: what one sees.
    pub title: &'static str,
    /// What is good, and what is not.
    pub description: &'static str,
    /// The unit, as Grafana names it.
    pub unit: &'static str,
    /// The form.
    pub form: Form,
    /// The queries, each with its legend.
    pub queries: &'static [(&'static str, &'static str)],
}

/// The form of a panel.
#[derive(Clone, Copy, Debug)]
pub enum Form {
    /// One number on a green or red ground.
    Number {
        /// The value from which the ground changes.
        from: f64,
        /// Whether it is green from there on; else red.
        is_large_good: bool,
    },
    /// Lines over time.
    Lines,
}

/// Grafana's grid has 24 columns.
const COLUMNS: usize = 24;
const NUMBER_HEIGHT: usize = 4;
const LINES_HEIGHT: usize = 8;

/// Runs `guardctl dashboard`: prints the dashboard.
///
/// # Errors
/// If standard output cannot be written.
pub fn run(_args: &DashboardArgs) -> anyhow::Result<bool> {
    std::io::stdout().lock().write_all(text()?.as_bytes())?;
    Ok(true)
}

/// Returns the dashboard as the text of its file.
///
/// # Errors
/// If it cannot be written as JSON.
pub fn text() -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(&dashboard())? + "\n")
}

fn dashboard() -> Value {
    let (mut panels, mut y) = (Vec::new(), 0);
    for row in ROWS {
        panels.push(json!({
            "id": panels.len() + 1,
            "type": "row",
            "title": row.title,
            "collapsed": false,
            "panels": [],
            "gridPos": {"h": 1, "w": COLUMNS, "x": 0, "y": y},
        }));
        y += 1;
        let width = COLUMNS / row.panels.len();
        let height = row.panels.iter().map(|panel| panel.form.height()).max().unwrap_or(LINES_HEIGHT);
        for (column, panel) in row.panels.iter().enumerate() {
            let place = json!({"h": height, "w": width, "x": column * width, "y": y});
            panels.push(panel.json(panels.len() + 1, &place));
        }
        y += height;
    }
    json!({
        "uid": "immich-guard",
        "title": "Immich behind guard",
        "description": "Written by guardctl dashboard; do not edit it here. The alerts and what to do: docs/monitoring.md",
        "tags": ["immich", "guard"],
        "schemaVersion": 39,
        "version": 1,
        "editable": true,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "annotations": {"list": []},
        "links": [],
        "templating": {"list": [{
            "name": "datasource",
            "label": "Prometheus",
            "type": "datasource",
            "query": "prometheus",
            "current": {},
            "hide": 0,
        }]},
        "panels": panels,
    })
}

/// The data source that the reader chooses at the top of the dashboard.
fn data_source() -> Value {
    json!({"type": "prometheus", "uid": "${datasource}"})
}

impl Form {
    const fn height(self) -> usize {
        match self {
            Self::Number { .. } => NUMBER_HEIGHT,
            Self::Lines => LINES_HEIGHT,
        }
    }
}

impl Panel {
    fn json(&self, id: usize, place: &Value) -> Value {
        let targets: Vec<_> = ('A'..='Z')
            .zip(self.queries)
            .map(|(letter, (expr, legend))| {
                json!({"refId": letter, "expr": expr, "legendFormat": legend, "datasource": data_source(), "range": true})
            })
            .collect();
        let (kind, options, thresholds) = match self.form {
            Form::Number { from, is_large_good } => {
                let (below, above) = if is_large_good { ("red", "green") } else { ("green", "red") };
                (
                    "stat",
                    json!({
                        "colorMode": "background",
                        "graphMode": "area",
                        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": false},
                    }),
                    json!([{"color": below, "value": null}, {"color": above, "value": from}]),
                )
            }
            Form::Lines => (
                "timeseries",
                json!({
                    "legend": {"displayMode": "list", "placement": "bottom", "showLegend": true},
                    "tooltip": {"mode": "multi", "sort": "desc"},
                }),
                json!([{"color": "green", "value": null}]),
            ),
        };
        json!({
            "id": id,
            "type": kind,
            "title": self.title,
            "description": self.description,
            "datasource": data_source(),
            "gridPos": place,
            "fieldConfig": {
                "defaults": {"unit": self.unit, "thresholds": {"mode": "absolute", "steps": thresholds}},
                "overrides": [],
            },
            "options": options,
            "targets": targets,
        })
    }
}
