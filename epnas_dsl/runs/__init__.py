"""Turn a search into records on disk that outlive the process that made them."""
