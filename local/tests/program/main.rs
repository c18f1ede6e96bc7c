//! The program `planexe-local`, seen from outside.
#![cfg(test)]

mod up;
