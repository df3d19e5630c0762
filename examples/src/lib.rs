//! Recipes, one idea each: the programs beside this folder; see README.md.
