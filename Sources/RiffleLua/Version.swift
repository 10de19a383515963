/// The version, whose only place is here; CHANGELOG.md says what each one brought.
package enum Version {
    package static let text = "0.1.0"
}
