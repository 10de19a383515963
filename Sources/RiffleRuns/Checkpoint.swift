import RiffleTensor

/// The state of several objects in one file.
package enum Checkpoint {}
