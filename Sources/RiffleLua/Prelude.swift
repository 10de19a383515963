/// The Lua code that comes with the library, in the order it is run.
enum Prelude {
    static let chunks: [(name: String, bytes: [UInt8])] = [
        ("base", PackageResources.base_lua),
        ("differentiation", PackageResources.differentiation_lua),
        ("module", PackageResources.module_lua),
        ("flow", PackageResources.flow_lua),
        ("recipes", PackageResources.recipes_lua),
        ("check", PackageResources.check_lua),
        ("memory", PackageResources.memory_lua),
        ("profile", PackageResources.profile_lua),
        ("progress", PackageResources.progress_lua),
        ("args", PackageResources.args_lua),
        ("runs", PackageResources.runs_lua),
        ("help", PackageResources.help_lua),
        ("syntax", PackageResources.syntax_lua),
        ("session", PackageResources.session_lua),
        ("completion", PackageResources.completion_lua),
        ("strict", PackageResources.strict_lua),
    ]
}
