import RiffleNN
import RiffleTensor

/// The networks of a loss, each in its role, so that stop-gradients cannot be forgotten.
///
/// What the student answers takes gradients. Teacher and target are asked without dropout and without recording, and
/// what they answer is a constant.
struct Roles {
    private let student_: Network
    private let teacher: Network?
    private let target_: Network

    /// - Parameters:
    ///   - teacher: a velocity; nil where a method learns from data alone.
    ///   - target: what the student looks up to, usually an average of it; the student itself when nil.
    init(_ student: Network, teacher: Network? = nil, target: Network? = nil) throws {
        (student_, self.teacher, target_) = (student, teacher, target ?? student)
        try checkClasses(asked + (target.map { [("target", $0)] } ?? []))
    }

    /// Those that a condition is told to.
    var asked: [(role: String, network: Network)] {
        [("student", student_)] + (teacher.map { [("teacher", $0)] } ?? [])
    }
    var hasTeacher: Bool { teacher != nil }
    /// Whether what the student just answered, held constant, stands for the target's answer.
    var studentIsTarget: Bool { target_ === student_ }

    /// The student's average velocity over jumps.
    func student(_ jumps: Jumps) throws -> Tensor {
        try acting(as: "student") { try student_.average(jumps.x, jumps.s, jumps.t, jumps.condition) }
    }

    /// The target's, a constant.
    func target(_ jumps: Jumps) throws -> Tensor {
        try constant("target", target_) { try $0.average(jumps.x, jumps.s, jumps.t, jumps.condition) }
    }

    /// The teacher's velocity, a constant; the target's own where there is no teacher.
    func instant(_ x: Tensor, _ t: Tensor, _ condition: Condition?) throws -> Tensor {
        try constant(hasTeacher ? "teacher" : "target", teacher ?? target_) { try $0.velocity(x, t, condition) }
    }

    /// The velocity at a batch's points, a constant: the teacher's, or without one the path's.
    func velocity(_ batch: FlowBatch) throws -> Tensor {
        hasTeacher ? try instant(batch.jumps.x, batch.jumps.s, batch.jumps.condition) : batch.velocity
    }

    /// The velocity where gradients pass through the network, though not to its parameters.
    func instantThrough(_ x: Tensor, _ t: Tensor, _ condition: Condition?) throws -> Tensor {
        try passing(through: teacher ?? target_, as: hasTeacher ? "teacher" : "target") {
            try $0.velocity(x, t, condition)
        }
    }

    /// The average velocity over jumps of the teacher: of one with two times in `steps` jumps, else in as many steps of
    /// a solver.
    func teacherAverage(_ jumps: Jumps, _ method: FixedStepMethod, steps: Int = 1) throws -> Tensor {
        try constant(hasTeacher ? "teacher" : "target", teacher ?? target_) { network in
            let h = try (jumps.t - jumps.s) / Double(steps)
            var (x, s, sum) = (jumps.x, jumps.s, nil as Tensor?)
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

    /// The student's u and its derivative as x moves at velocity v and s at rate 1, both with gradients.
    func alongStart(_ jumps: Jumps, at v: Tensor) throws -> (Tensor, Tensor) {
        try jvp([jumps.x, jumps.s], [v, .ones([jumps.count], jumps.s.dtype)]) { try student(jumps.from($0[0], $0[1])) }
    }

    /// The student's u with gradients; the target's u and its derivative as x moves at velocity v and s at rate 1,
    /// constants.
    func alongStartStopped(_ jumps: Jumps, at v: Tensor) throws -> (u: Tensor, now: Tensor, du: Tensor) {
        try stopped(jumps, [jumps.x, jumps.s], [v, .ones([jumps.count], jumps.s.dtype)]) { jumps.from($0[0], $0[1]) }
    }

    /// The student's u with gradients; the target's u and its derivative in t, constants.
    func alongEndStopped(_ jumps: Jumps) throws -> (u: Tensor, now: Tensor, du: Tensor) {
        try stopped(jumps, [jumps.t], [.ones([jumps.count], jumps.t.dtype)]) { jumps.to($0[0]) }
    }

    /// One evaluation serves for both where the student is its own target.
    private func stopped(
        _ jumps: Jumps, _ inputs: [Tensor], _ tangents: [Tensor], _ moved: ([Tensor]) throws -> Jumps
    ) throws -> (u: Tensor, now: Tensor, du: Tensor) {
        if studentIsTarget {
            let (u, du) = try jvp(inputs, tangents, constantTangents: true) { try student(moved($0)) }
            return (u, u.detach(), du.detach())
        }
        let (now, du) = try withoutGradient { try jvp(inputs, tangents) { try target(moved($0)) } }
        return (try student(jumps), now, du)
    }
}

/// - Throws: `RiffleError` where networks that are told the same labels have different numbers of classes.
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
    for (place, one) in networks.enumerated() {
        guard let other = networks[..<place].first(where: { $0.network === one.network }) else { continue }
        throw RiffleError(
            "", "the \(other.role) and the \(one.role) are the same network; begin one as a copy, net:copy()")
    }
}

/// What a network answers in a role, without dropout, as a constant.
func constant(_ role: String, _ network: Network, _ body: (Network) throws -> Tensor) throws -> Tensor {
    try acting(as: role) { try withoutGradient { try network.evaluating { try body(network) } } }
}

/// What a network answers in a role, without dropout; gradients pass through it to its inputs, and not to its
/// parameters.
func passing(through network: Network, as role: String, _ body: (Network) throws -> Tensor) throws -> Tensor {
    try acting(as: role) { try network.evaluating { try network.frozen { try body(network) } } }
}

/// Runs `body`; an error from inside says which role the network had.
func acting<Result>(as role: String, _ body: () throws -> Result) throws -> Result {
    do {
        return try body()
    } catch let error as RiffleError {
        throw error.within(role)
    }
}
