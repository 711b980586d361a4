//! Tables of figures, each beside that of the raw client and its budget.

use std::fmt::Write as _;

/// What a figure should be.
#[derive(Clone, Copy, Debug)]
pub enum Budget {
    /// There is none.
    None,
    /// Not more than this.
    AtMost(f64),
    /// Not less than this.
    AtLeast(f64),
}

/// One figure.
#[derive(Clone, Debug)]
pub struct Figure {
    name: String,
    value: f64,
    unit: &'static str,
    raw: Option<f64>,
    budget: Budget,
}

impl Figure {
    /// A figure with nothing beside it.
    pub fn new(name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { name: name.into(), value, unit, raw: None, budget: Budget::None }
    }

    /// Beside what the raw client came to.
    #[must_use]
    pub fn beside(self, raw: f64) -> Self {
        Self { raw: Some(raw), ..self }
    }

    /// Beside what it should be.
    #[must_use]
    pub fn budget(self, budget: Budget) -> Self {
        Self { budget, ..self }
    }

    /// Whether it misses its budget.
    pub fn misses(&self) -> bool {
        match self.budget {
            Budget::None => false,
            Budget::AtMost(most) => self.value.is_nan() || self.value > most,
            Budget::AtLeast(least) => self.value.is_nan() || self.value < least,
        }
    }

    fn show(&self) -> String {
        let raw = self.raw.map_or_else(String::new, number);
        let ratio = self.raw.map_or_else(String::new, |raw| format!("{:.2}", self.value / raw));
        let (budget, verdict) = match self.budget {
            Budget::None => (String::new(), ""),
            Budget::AtMost(most) => (format!("<= {}", number(most)), self.verdict()),
            Budget::AtLeast(least) => (format!(">= {}", number(least)), self.verdict()),
        };
        let Self { name, value, unit, .. } = self;
        let line =
            format!("{name:<46} {:>9} {unit:<9} {raw:>9} {ratio:>6}  {budget:<11} {verdict}", number(*value));
        line.trim_end().to_owned()
    }

    fn verdict(&self) -> &'static str {
        if self.misses() { "MISSED" } else { "met" }
    }
}

/// Figures under a title, with remarks.
#[derive(Clone, Debug)]
pub struct Table {
    title: String,
    figures: Vec<Figure>,
    remarks: Vec<String>,
}

impl Table {
    /// An empty one.
    pub fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), figures: Vec::new(), remarks: Vec::new() }
    }

    /// Adds a figure.
    pub fn figure(&mut self, figure: Figure) {
        self.figures.push(figure);
    }

    /// Adds a remark.
    pub fn remark(&mut self, remark: impl Into<String>) {
        self.remarks.push(remark.into());
    }

    /// Names of the figures that miss their budgets.
    pub fn missed(&self) -> Vec<String> {
        self.figures.iter().filter(|figure| figure.misses()).map(|figure| figure.name.clone()).collect()
    }

    /// As text.
    pub fn show(&self) -> String {
        let mut text = format!(
            "\n{:<46} {:>9} {:<9} {:>9} {:>6}  {:<11}\n",
            self.title.to_uppercase(),
            "MEASURED",
            "",
            "RAW",
            "RATIO",
            "BUDGET"
        );
        for figure in &self.figures {
            let _ = writeln!(text, "{}", figure.show());
        }
        for remark in &self.remarks {
            let _ = writeln!(text, "  {remark}");
        }
        text
    }
}

/// As many digits as are worth reading.
fn number(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        1000.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missed_budget_is_said() {
        let mut table = Table::new("speed");
        table.figure(Figure::new("slow", 30.0, "ms").beside(10.0).budget(Budget::AtMost(25.0)));
        table.figure(Figure::new("fast", 120.0, "/s").budget(Budget::AtLeast(100.0)));
        table.figure(Figure::new("nothing was measured", f64::NAN, "ms").budget(Budget::AtMost(1.0)));
        assert_eq!(table.missed(), ["slow", "nothing was measured"]);
        let shown = table.show();
        assert!(shown.contains("3.00  <= 25.0     MISSED"), "{shown}");
        assert!(shown.lines().nth(3).unwrap().ends_with(">= 100.0    met"), "{shown}");
    }
}
