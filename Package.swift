// swift-tools-version: 6.0
import PackageDescription

let cSettings: [CSetting] = [.unsafeFlags(["-O3", "-ffp-contract=fast", "-fno-math-errno", "-Wall", "-Wextra"])]

let package = Package(
    name: "Riffle",
    products: [.executable(name: "riffle", targets: ["riffle"])],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", exact: "1.8.2")
    ],
    targets: [
        // System libraries, from Debian's packages.
        .systemLibrary(name: "CLua", pkgConfig: "lua5.4", providers: [.apt(["liblua5.4-dev"])]),
        .systemLibrary(name: "CPNG", pkgConfig: "libpng", providers: [.apt(["libpng-dev"])]),
        .systemLibrary(name: "CJPEG", pkgConfig: "libjpeg", providers: [.apt(["libjpeg62-turbo-dev"])]),
        .systemLibrary(name: "CWebP", pkgConfig: "libwebp", providers: [.apt(["libwebp-dev"])]),
        .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),
        .systemLibrary(name: "CCairo", pkgConfig: "cairo", providers: [.apt(["libcairo2-dev"])]),
        .systemLibrary(name: "CEdit", pkgConfig: "libedit", providers: [.apt(["libedit-dev"])]),
        .systemLibrary(name: "CZip", pkgConfig: "libzip", providers: [.apt(["libzip-dev"])]),
        .systemLibrary(name: "CNettle", pkgConfig: "nettle", providers: [.apt(["nettle-dev"])]),

        // The hot loops: plain pointers and sizes in, numbers out.
        .target(
            name: "CKernels", exclude: ["simd", "include/kernels/unary.def", "include/kernels/binary.def"],
            cSettings: cSettings + [.headerSearchPath(".")],
            linkerSettings: [.linkedLibrary("m"), .linkedLibrary("dl"), .linkedLibrary("pthread")]),
        // The only code that touches lua_State.
        .target(name: "CLuaBridge", dependencies: ["CLua"], cSettings: cSettings),

        // The errors of libpng and libjpeg, which jump, kept out of Swift; libwebp; resizing.
        .target(name: "CImage", dependencies: ["CKernels", "CPNG", "CJPEG", "CWebP"], cSettings: cSettings),

        .target(name: "RiffleTensor", dependencies: ["CKernels"]),
        .target(name: "RiffleNN", dependencies: ["RiffleTensor", "CKernels"]),
        .target(name: "RiffleFlow", dependencies: ["RiffleNN", "RiffleTensor", "CKernels"]),
        .target(name: "RiffleMetrics", dependencies: ["RiffleIO", "RiffleTensor", "CKernels"]),
        .target(
            name: "RiffleIO",
            dependencies: ["RiffleNN", "RiffleTensor", "CImage", "CZip", "CZlib", "CNettle"]),
        .target(name: "RiffleData", dependencies: ["RiffleIO", "RiffleTensor"]),
        .target(name: "RiffleText", dependencies: ["RiffleIO", "RiffleTensor"]),
        .target(
            name: "RifflePipelines",
            dependencies: ["RiffleText", "RiffleData", "RiffleFlow", "RiffleIO", "RiffleNN", "RiffleTensor"]),
        .target(name: "RiffleFigures", dependencies: ["RiffleIO", "RiffleTensor", "CCairo"]),
        .target(
            name: "RiffleEvaluation",
            dependencies: [
                "RiffleFlow", "RiffleData", "RiffleFigures", "RiffleMetrics", "RiffleRuns", "RiffleNN", "RiffleIO",
                "RiffleTensor",
            ]),
        .target(
            name: "RiffleRuns", dependencies: ["RiffleIO", "RiffleNN", "RiffleTensor"],
            resources: [.embedInCode("Page")]),
        .target(
            name: "RiffleLua",
            dependencies: [
                "RiffleNN", "RiffleFlow", "RiffleMetrics", "RiffleEvaluation", "RiffleRuns", "RiffleData",
                "RiffleFigures", "RiffleText", "RifflePipelines", "RiffleIO", "RiffleTensor", "CLuaBridge", "CEdit",
            ],
            resources: [.embedInCode("Prelude"), .embedInCode("Examples"), .embedInCode("Guide")]),
        .executableTarget(
            name: "riffle",
            dependencies: [
                "RiffleLua", "RiffleEvaluation", "RiffleRuns", "RiffleFigures", "RifflePipelines", "RiffleData",
                "RiffleFlow", "RiffleIO", "RiffleNN", "RiffleTensor",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
            ]),

        // What several tests use: folders for a test, fixtures, messages of errors.
        .target(name: "TestSupport", dependencies: ["RiffleTensor"], path: "Tests/TestSupport"),
        .testTarget(name: "CKernelsTests", dependencies: ["CKernels"]),
        .testTarget(name: "RiffleTensorTests", dependencies: ["RiffleTensor", "CKernels"]),
        .testTarget(name: "RiffleNNTests", dependencies: ["RiffleNN", "RiffleIO", "RiffleTensor", "TestSupport"]),
        .testTarget(
            name: "RiffleFlowTests",
            dependencies: [
                "RiffleFlow", "RiffleMetrics", "RiffleData", "RiffleIO", "RiffleNN", "RiffleTensor", "CKernels",
            ]),
        .testTarget(
            name: "RiffleMetricsTests", dependencies: ["RiffleMetrics", "RiffleIO", "RiffleTensor", "TestSupport"]),
        .testTarget(name: "RiffleIOTests", dependencies: ["RiffleIO", "RiffleTensor", "CKernels", "TestSupport"]),
        .testTarget(
            name: "RiffleDataTests",
            dependencies: ["RiffleData", "RiffleMetrics", "RiffleIO", "RiffleTensor", "CKernels", "TestSupport"]),
        .testTarget(
            name: "RiffleTextTests", dependencies: ["RiffleText", "RiffleIO", "RiffleTensor", "TestSupport"]),
        .testTarget(
            name: "RifflePipelinesTests",
            dependencies: [
                "RifflePipelines", "RiffleFlow", "RiffleIO", "RiffleNN", "RiffleTensor", "TestSupport",
            ]),
        .testTarget(
            name: "RiffleFiguresTests",
            dependencies: ["RiffleFigures", "RiffleData", "RiffleIO", "RiffleTensor", "TestSupport"]),
        .testTarget(
            name: "RiffleRunsTests",
            dependencies: ["RiffleRuns", "RiffleIO", "RiffleNN", "RiffleTensor", "TestSupport"]),
        .testTarget(
            name: "RiffleEvaluationTests",
            dependencies: [
                "RiffleEvaluation", "RiffleFlow", "RiffleIO", "RiffleMetrics", "RiffleNN", "RiffleTensor",
                "TestSupport",
            ]),
        .testTarget(
            name: "RiffleLuaTests",
            dependencies: [
                "RiffleLua", "RiffleFlow", "RiffleRuns", "RiffleIO", "RiffleMetrics", "RiffleNN",
                "RiffleTensor", "CKernels", "riffle",
            ],
            exclude: ["lua", "runs"]),
    ],
    swiftLanguageModes: [.v6]
)

// scripts/fuzz builds this program, and no other command does: libFuzzer's loop around the readers of files.
if let runtime = Context.environment["RIFFLE_FUZZ"] {
    package.targets += [
        .target(name: "CFuzzer", path: "Tests/CFuzzer"),
        .executableTarget(
            name: "ReaderFuzzer",
            dependencies: [
                "CFuzzer", "CZlib", "RiffleData", "RiffleIO", "RiffleMetrics", "RiffleNN", "RiffleRuns", "RiffleTensor",
                "RiffleText",
            ],
            path: "Tests/ReaderFuzzer", exclude: ["seeds"],
            linkerSettings: [.unsafeFlags([runtime]), .linkedLibrary("stdc++")]),
    ]
}
