//! What CI runs of the fuzz targets, and the grid of signatures at the edge over every way in.

mod replay;
mod rule;
