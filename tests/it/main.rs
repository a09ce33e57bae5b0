//! Tests of whole features, over real processes.
