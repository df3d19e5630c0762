//! What the mlops programs share: arguments, printing, progress and exit codes.
