/// The version. CHANGELOG.md repeats it, and says what each version brought.
package enum Version {
    package static let text = "0.1.0"
}
