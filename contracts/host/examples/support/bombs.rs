//! Programs that look for the cheapest way to keep a machine busy.

/// A program that does one thing for ever.
#[derive(Debug)]
pub struct Bomb {
    /// What it does.
    pub name: &'static str,
    /// Declarations before its function.
    parts: String,
    /// Locals of its function.
    locals: &'static str,
    /// What its loop does.
    body: String,
    /// Pages of memory.
    pages: u32,
}

impl Bomb {
    fn new(name: &'static str, body: &str, times: usize) -> Self {
        let locals = "(local i64 i64 i32 i32)";
        Bomb { name, parts: String::new(), locals, body: body.repeat(times), pages: 1 }
    }

    fn with(mut self, parts: &str) -> Self {
        self.parts = parts.to_owned();
        self
    }

    fn pages(mut self, pages: u32) -> Self {
        self.pages = pages;
        self
    }

    /// The contract in text form.
    #[must_use]
    pub fn module(&self) -> String {
        let body = format!("{} (loop {} (br 0)) (unreachable)", self.locals, self.body);
        contract(&self.parts, &body, self.pages)
    }
}

fn contract(parts: &str, settle: &str, pages: u32) -> String {
    format!(
        r#"(module {parts}
        (@custom "sdk.meta" "\04\00\00\00bomb\01\00\00\001\01\00\00\00\00\00")
        (memory (export "memory") 1 {pages}) (global (export "IO") i32 (i32.const 1024))
        (func (export "v1_quote") (param i32) (result i64) (i64.const 0))
        (func (export "v1_settle") (param i32) (result i64) {settle}))"#
    )
}

/// Every kind of operator that could be priced too low.
#[must_use]
pub fn price_bombs() -> Vec<Bomb> {
    let wide = "(local ".to_owned() + &"i64 ".repeat(100) + ")";
    let sixteen = "(param ".to_owned() + &"i64 ".repeat(16) + ")";
    let arguments = "(local.get 1) ".repeat(16);
    let labels = "0 ".repeat(200);
    // Reads and writes all over a page, so that nothing is where it was a moment ago.
    let far = "(local.set 3 (i32.and (i32.add (i32.mul (local.get 3) (i32.const 40961)) (i32.const 8191)) (i32.const 65528)))";
    vec![
        Bomb::new("empty loop", "", 1),
        Bomb::new("i64.add", "(local.set 1 (i64.add (local.get 1) (i64.const 3)))", 50),
        Bomb::new("i64.mul", "(local.set 1 (i64.mul (local.get 1) (local.get 2)))", 50),
        Bomb::new("i64.div_u", "(local.set 1 (i64.div_u (i64.const -7) (i64.or (local.get 1) (i64.const 1))))", 50),
        Bomb::new("i64.rem_s", "(local.set 1 (i64.rem_s (i64.const -7) (i64.or (local.get 1) (i64.const 3))))", 50),
        Bomb::new("i64.popcnt clz", "(local.set 1 (i64.popcnt (i64.clz (local.get 1))))", 50),
        Bomb::new("i64.rotl", "(local.set 1 (i64.rotl (local.get 1) (local.get 2)))", 50),
        Bomb::new("i64.load", "(local.set 1 (i64.load (i32.const 40)))", 50),
        Bomb::new("i64.load afar", &format!("{far} (local.set 1 (i64.load (local.get 3)))"), 30),
        Bomb::new("i64.store", "(i64.store (i32.const 40) (local.get 1))", 50),
        Bomb::new("i64.store afar", &format!("{far} (i64.store (local.get 3) (local.get 1))"), 30),
        Bomb::new("i64.load of what was stored", "(i64.store (i32.const 40) (local.get 1)) (local.set 1 (i64.load (i32.const 41)))", 40),
        Bomb::new("global.get and set", "(global.set 0 (i64.add (global.get 0) (local.get 1)))", 50)
            .with("(global (mut i64) (i64.const 0))"),
        Bomb::new("select", "(local.set 1 (select (local.get 1) (local.get 2) (local.get 3)))", 50),
        Bomb::new("local.tee", "(local.set 1 (local.tee 2 (local.get 1)))", 50),
        Bomb::new("drop", "(drop (local.get 1))", 50),
        Bomb::new("if else", "(if (local.get 3) (then (local.set 1 (i64.const 1))) (else (local.set 3 (i32.const 1))))", 50),
        Bomb::new("br_if not taken", "(block (br_if 0 (local.get 3)))", 50),
        Bomb::new("br_if taken", "(block (br_if 0 (i32.eqz (local.get 3))))", 50),
        Bomb::new("loops of one round", "(loop (br_if 0 (local.get 3)))", 50),
        Bomb::new("br_table", &format!("(block (br_table {labels} (local.get 3)))"), 20),
        Bomb::new("small br_table", "(block (block (br_table 0 1 (local.get 3))))", 50),
        Bomb::new("memory.size", "(local.set 3 (memory.size))", 50),
        Bomb::new("memory.grow by none", "(drop (memory.grow (i32.const 0)))", 20),
        Bomb::new("memory.grow beyond", "(drop (memory.grow (i32.const 100)))", 20).pages(16),
        Bomb::new("memory.grow by all", "(drop (memory.grow (i32.const 15)))", 1).pages(16),
        Bomb::new("memory.fill of a page", "(memory.fill (i32.const 0) (i32.const 7) (i32.const 65536))", 1),
        Bomb::new("memory.fill of nothing", "(memory.fill (i32.const 0) (i32.const 7) (i32.const 0))", 20),
        Bomb::new("memory.fill of 15 bytes", "(memory.fill (i32.const 1) (i32.const 7) (i32.const 15))", 20),
        Bomb::new("memory.copy of a page", "(memory.copy (i32.const 0) (i32.const 1) (i32.const 65535))", 1),
        Bomb::new("memory.copy of nothing", "(memory.copy (i32.const 0) (i32.const 1) (i32.const 0))", 20),
        Bomb::new("memory.copy of 15 bytes", "(memory.copy (i32.const 0) (i32.const 1) (i32.const 15))", 20),
        Bomb::new("memory.init", "(memory.init 0 (i32.const 0) (i32.const 0) (i32.const 15))", 20)
            .with("(data \"0123456789abcdef\")"),
        Bomb::new("call", "(call $leaf)", 20).with("(func $leaf)"),
        Bomb::new("call of a leaf with 100 locals", "(call $leaf)", 20).with(&format!("(func $leaf {wide})")),
        Bomb::new("call with 16 arguments", &format!("(call $leaf {arguments})"), 20)
            .with(&format!("(func $leaf {sixteen})")),
        Bomb::new("call with 16 arguments and 100 locals", &format!("(call $leaf {arguments})"), 20)
            .with(&format!("(func $leaf {sixteen} {wide})")),
        Bomb::new("call_indirect", "(call_indirect (type $t) (i32.const 0))", 20)
            .with("(type $t (func)) (table 1 1 funcref) (elem (i32.const 0) $leaf) (func $leaf)"),
        Bomb::new("call_indirect of 100 locals", "(call_indirect (type $t) (i32.const 0))", 20).with(&format!(
            "(type $t (func)) (table 1 1 funcref) (elem (i32.const 0) $leaf) (func $leaf {wide})"
        )),
        Bomb::new("recursion to depth 120", "(call $down (i32.const 120))", 1).with(&format!(
            "(func $down (param i32) {wide} (if (local.get 0) (then (call $down (i32.sub (local.get 0) (i32.const 1))))))"
        )),
        Bomb::new("table.init and copy", "(table.copy (i32.const 0) (i32.const 1) (i32.const 200))", 20)
            .with("(table 256 256 funcref) (func $leaf) (elem (i32.const 0) $leaf)"),
        Bomb::new("nothing but nop", "(nop) (block) (block (nop))", 50),
    ]
}

/// Modules of at most 64 KiB that take long to check and to compile.
#[must_use]
pub fn load_bombs() -> Vec<(&'static str, String)> {
    let settle = |body: &str| contract("", &format!("(local i64 i64 i64) {body} (i64.const 0)"), 1);
    let branches = "(if (i32.wrap_i64 (local.get 1)) (then (local.set 2 (local.get 3))))".repeat(4_300);
    let table = format!("(br_table {} (i32.const 1))", "0 ".repeat(500));
    let operand = format!("{} {}", "(local.get 1) ".repeat(500), "drop ".repeat(500));
    let functions = format!("(func {})", "(nop)".repeat(110)).repeat(510);
    let called = "(func (param i64) (result i64) (i64.add (local.get 0) (i64.const 1)))";
    vec![
        (
            "straight line",
            settle(
                &"(local.set 1 (i64.add (i64.mul (local.get 1) (i64.const 3)) (i64.const 1)))".repeat(5_900),
            ),
        ),
        ("one-byte operators", settle(&"(nop)".repeat(65_000))),
        ("constants dropped", settle(&"(drop (i64.const 1))".repeat(21_500))),
        ("10,000 nested blocks", settle(&format!("{} {}", "(block ".repeat(10_000), ")".repeat(10_000)))),
        ("10,000 nested loops", settle(&format!("{} {}", "(loop ".repeat(10_000), ")".repeat(10_000)))),
        (
            "nested ifs",
            settle(&format!("{} {}", "(if (i32.const 1) (then ".repeat(7_000), "))".repeat(7_000))),
        ),
        (
            "100 locals and 4,300 branches",
            contract("", &format!("(local {}) {branches} (i64.const 0)", "i64 ".repeat(100)), 1),
        ),
        ("big branch tables", settle(&format!("(block {})", table.repeat(125)))),
        ("full operand stack", settle(&operand.repeat(40))),
        (
            "full operand stack and branches",
            settle(&format!(
                "(block {} {} {})",
                "(i64.const 1)".repeat(500),
                "(br_if 0 (i32.const 0))".repeat(9_000),
                "(drop)".repeat(500)
            )),
        ),
        ("512 functions", contract(&functions, "(i64.const 0)", 1)),
        (
            "calls",
            contract(
                called,
                &format!(
                    "(local i64) {} (i64.const 0)",
                    "(local.set 1 (call 0 (local.get 1)))".repeat(10_000)
                ),
                1,
            ),
        ),
        (
            "local.set after 500 local.get",
            settle(&format!(
                "{} {} {}",
                "(local.get 1) ".repeat(500),
                "(local.set 1 (i64.const 1))".repeat(10_000),
                "drop ".repeat(500)
            )),
        ),
        (
            "a local kept and overwritten",
            settle(&"(local.get 1) (local.set 1 (i64.const 1)) (drop)".repeat(9_000)),
        ),
        (
            "select and compare",
            settle(
                &"(local.set 1 (select (local.get 1) (local.get 2) (i64.lt_u (local.get 1) (local.get 2))))"
                    .repeat(4_600),
            ),
        ),
        ("loads and stores", settle(&"(i64.store (i32.const 8) (i64.load (i32.const 16)))".repeat(6_400))),
        ("data", contract(&format!("(data (i32.const 0) \"{}\")", "x".repeat(60_000)), "(i64.const 0)", 1)),
    ]
}
