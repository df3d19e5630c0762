//! Recipes, one idea each; see README.md.
