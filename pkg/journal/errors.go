package journal

import "errors"

// ErrDropped says that the owner that was followed has been dropped.
var ErrDropped = errors.New("journal: owner dropped")
