//! Who is told of what became of a message.
