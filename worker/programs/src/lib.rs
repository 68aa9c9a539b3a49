//! The programs that ship with the stock image.
