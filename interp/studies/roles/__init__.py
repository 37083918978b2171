"""Do roles tell the truth? Those earned in three gates, held against what interchange shows to carry a shortcut."""
