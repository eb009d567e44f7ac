//! Tables of figures for people.

use comfy_table::{CellAlignment, Table, TableComponent, presets};

/// Space between two columns.
pub const GAP: u16 = 2;

/// A table without rows.
pub fn empty<H: Into<comfy_table::Row>>(header: H) -> Table {
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_style(TableComponent::HeaderLines, '-')
        .set_style(TableComponent::MiddleHeaderIntersections, '-')
        .set_header(header);
    table
}

/// Figures to the right, but for the first column, which names the row.
pub fn aligned(mut table: Table) -> Table {
    let last = table.column_count().saturating_sub(1);
    for column in table.column_iter_mut() {
        let gap = if column.index == last { 0 } else { GAP };
        column.set_padding((0, gap));
        if column.index > 0 {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}
