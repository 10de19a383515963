import RiffleNN
import RiffleTensor

/// The networks of a loss, each in its role, so that stop-gradients cannot be forgotten.
///
/// The student's results take gradients. Teacher and target are evaluated without dropout and without recording, and
/// their results are constants.
struct Roles {
    private let studentNetwork: Network
    private let teacherNetwork: Network?
    private let targetNetwork: Network

    /// - Parameters:
    ///   - teacher: a velocity; nil where a method learns from data alone.
    ///   - target: what the student looks up to, usually an average of it; the student itself when nil.
    init(_ student: Network, teacher: Network? = nil, target: Network? = nil) throws {
        studentNetwork = student
        teacherNetwork = teacher
        targetNetwork = target ?? student
        try checkClasses(conditioned + (target.map { [("target", $0)] } ?? []))
    }

    /// The networks that get the condition, by their roles.
    var conditioned: [(role: String, network: Network)] {
        [("student", studentNetwork)] + (teacherNetwork.map { [("teacher", $0)] } ?? [])
    }
    var hasTeacher: Bool { teacherNetwork != nil }
    /// Whether the student is its own target, so that its result, held constant, serves as the target's.
    var studentIsTarget: Bool { targetNetwork === studentNetwork }

    /// The student's average velocity over jumps.
    func student(_ jumps: Jumps) throws -> Tensor {
        try acting(as: "student") { try studentNetwork.average(jumps.x, jumps.s, jumps.t, jumps.condition) }
    }

    /// The student's average velocity over jumps, a constant.
    func held(_ jumps: Jumps) throws -> Tensor {
        try constant("student", studentNetwork) { try $0.average(jumps.x, jumps.s, jumps.t, jumps.condition) }
    }

    /// The target's average velocity over jumps, a constant.
    func target(_ jumps: Jumps) throws -> Tensor {
        try constant("target", targetNetwork) { try $0.average(jumps.x, jumps.s, jumps.t, jumps.condition) }
    }

    /// The network whose velocity counts as the instantaneous one: the teacher, or the target where there is no
    /// teacher.
    private var instantNetwork: Network { teacherNetwork ?? targetNetwork }
    private var instantRole: String { hasTeacher ? "teacher" : "target" }

    /// The teacher's velocity, or the target's where there is no teacher; a constant.
    func instant(_ x: Tensor, _ t: Tensor, _ condition: Condition?) throws -> Tensor {
        try constant(instantRole, instantNetwork) { try $0.velocity(x, t, condition) }
    }

    /// The velocity at a batch's points, a constant: the teacher's, or the path's where there is no teacher.
    func velocity(_ batch: FlowBatch) throws -> Tensor {
        hasTeacher ? try instant(batch.jumps.x, batch.jumps.s, batch.jumps.condition) : batch.velocity
    }

    /// The same velocity as `instant`, with gradients to x but not to the network's parameters.
    func instantThrough(_ x: Tensor, _ t: Tensor, _ condition: Condition?) throws -> Tensor {
        try passing(through: instantNetwork, as: instantRole) { try $0.velocity(x, t, condition) }
    }

    /// The teacher's average velocity over jumps: by `steps` jumps of a teacher with two times, or by `steps` steps of
    /// a solver along its velocity.
    func teacherAverage(_ jumps: Jumps, _ method: FixedStepMethod, steps: Int = 1) throws -> Tensor {
        try constant(instantRole, instantNetwork) { network in
            let h = try (jumps.t - jumps.s) / Double(steps)
            var x = jumps.x
            var s = jumps.s
            var sum: Tensor?
            for step in 1...steps {
                let t = step == steps ? jumps.t : try s + h
                let u =
                    network.times == 2 && hasTeacher
                    ? try network.average(x, s, t, jumps.condition)
                    : try method.average(x, s, t) { try network.velocity($0, $1, jumps.condition) }
                sum = try sum.map { try $0 + u } ?? u
                if step < steps { x = try x + h.alongside(x) * u }
                s = t
            }
            return try sum! / Double(steps)
        }
    }

    // MARK: - Derivatives

    /// The student's u and its derivative in t, both with gradients.
    func alongEnd(_ jumps: Jumps) throws -> (Tensor, Tensor) {
        try jvp([jumps.t], [.ones([jumps.count], jumps.t.dtype)]) { try student(jumps.to($0[0])) }
    }

    /// The student's u and its derivative along (v, 1) in x and s, both with gradients.
    func alongStart(_ jumps: Jumps, at v: Tensor) throws -> (Tensor, Tensor) {
        try jvp([jumps.x, jumps.s], [v, .ones([jumps.count], jumps.s.dtype)]) { try student(jumps.from($0[0], $0[1])) }
    }

    /// The student's u with gradients; the target's u and its derivative along (v, 1) in x and s, both constants.
    func alongStartStopped(_ jumps: Jumps, at v: Tensor) throws -> (u: Tensor, now: Tensor, du: Tensor) {
        try stopped(jumps, [jumps.x, jumps.s], [v, .ones([jumps.count], jumps.s.dtype)]) { jumps.from($0[0], $0[1]) }
    }

    /// The student's u with gradients; the target's u and its derivative in t, both constants.
    func alongEndStopped(_ jumps: Jumps) throws -> (u: Tensor, now: Tensor, du: Tensor) {
        try stopped(jumps, [jumps.t], [.ones([jumps.count], jumps.t.dtype)]) { jumps.to($0[0]) }
    }

    /// The student's u with gradients; the target's u and its derivative along tangents of some inputs, both constants.
    /// One evaluation gives all three where the student is its own target.
    /// - Parameter jumpsWith: the jumps with other values of the inputs.
    private func stopped(
        _ jumps: Jumps, _ inputs: [Tensor], _ tangents: [Tensor], _ jumpsWith: ([Tensor]) throws -> Jumps
    ) throws -> (u: Tensor, now: Tensor, du: Tensor) {
        if studentIsTarget {
            let (u, du) = try jvp(inputs, tangents, constantTangents: true) { try student(jumpsWith($0)) }
            return (u, u.detach(), du.detach())
        }
        let (now, du) = try withoutGradient { try jvp(inputs, tangents) { try target(jumpsWith($0)) } }
        return (try student(jumps), now, du)
    }
}

/// - Throws: `RiffleError` where networks that get the same labels have different numbers of classes.
func checkClasses(_ networks: [(role: String, network: Network)]) throws {
    let counts = networks.compactMap { role, network in
        if case .classes(let count, _) = network.conditioning { (role, count) } else { nil }
    }
    guard let (first, count) = counts.first, let (other, differing) = counts.first(where: { $0.1 != count }) else {
        return
    }
    throw RiffleError("", "the \(first) has \(count) classes and the \(other) \(differing)")
}

/// - Throws: `RiffleError` when one network has two roles that differ in what they learn.
func checkApart(_ networks: [(role: String, network: Network)]) throws {
    for (index, one) in networks.enumerated() {
        guard let other = networks[..<index].first(where: { $0.network === one.network }) else { continue }
        throw RiffleError(
            "", "the \(other.role) and the \(one.role) are the same network; begin one as a copy, net:copy()")
    }
}

/// A network's result in a role, without dropout, as a constant.
func constant(_ role: String, _ network: Network, _ body: (Network) throws -> Tensor) throws -> Tensor {
    try acting(as: role) { try withoutGradient { try network.evaluating { try body(network) } } }
}

/// A network's result in a role, without dropout; gradients pass to the network's inputs, and not to its parameters.
func passing(through network: Network, as role: String, _ body: (Network) throws -> Tensor) throws -> Tensor {
    try acting(as: role) { try network.evaluating { try network.frozen { try body(network) } } }
}

/// Runs `body`; an error from inside gets the network's role into its path.
func acting<Result>(as role: String, _ body: () throws -> Result) throws -> Result {
    do {
        return try body()
    } catch let error as RiffleError {
        throw error.within(role)
    }
}
