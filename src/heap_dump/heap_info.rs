//! Parses the answer to `GC.heap_info`: how much of the heap is used (JDK: `print_on` of each collected heap in
//! `src/hotspot/share/gc`). No I/O.

/// Returns the used bytes of the heap, from the text of any collector; `None` if the text has none.
pub fn heap_used(text: &str) -> Option<u64> {
    if text.starts_with("Epsilon Heap") {
        return text.lines().find_map(used_of_space);
    }
    let lines = text.lines().take_while(|line| !line.trim_start().starts_with("Metaspace"));
    // G1, ZGC and Shenandoah print one line for the whole heap. Serial, Parallel and generational Shenandoah print one
    // for each generation.
    lines.filter(|line| is_total(line)).filter_map(used_of).reduce(u64::saturating_add)
}

/// The old generation of a heap, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OldGeneration {
    pub used: u64,
    /// The largest size. `None` if the old generation may take all of the heap.
    pub most: Option<u64>,
}

/// Names of the old generation of Serial, Parallel and CMS, from JDK 8 to 28.
const OLD: [&str; 5] = ["tenured generation", "Tenured", "ParOldGen", "PSOldGen", "concurrent mark-sweep generation"];

/// Returns the old generation; `None` if the collector has none, or does not tell of it.
pub fn old_generation(text: &str) -> Option<OldGeneration> {
    let mut lines = text.lines().map(str::trim_start);
    while let Some(line) = lines.next() {
        if OLD.iter().any(|name| line.starts_with(name)) {
            // From JDK 28 on, the old generation of Parallel may take the whole heap: the addresses show only its
            // present size.
            let most = if line.contains("Old Gen:") { None } else { Some(reserved(line)?) };
            return Some(OldGeneration { used: used_of(line)?, most });
        }
        if line.starts_with("garbage-first heap") {
            let young = lines.find(|line| line.starts_with("region size")).and_then(young_regions)?;
            return Some(OldGeneration { used: used_of(line)?.saturating_sub(young), most: None });
        }
        // Shenandoah with generations prints the numbers in the line below. The size follows the need.
        if line == "Old:" {
            return Some(OldGeneration { used: used_of(lines.next()?)?, most: None });
        }
    }
    None
}

/// Returns the reserved bytes of `[begin, end of the committed bytes, end)`.
fn reserved(line: &str) -> Option<u64> {
    let (_, addresses) = line.split_once('[')?;
    let mut addresses = addresses.trim_end_matches(')').split(',').map(|word| address(word.trim()));
    let (begin, end) = (addresses.next()??, addresses.nth(1)??);
    end.checked_sub(begin).filter(|bytes| *bytes > 0)
}

/// Returns the bytes of young regions: `1 young (1024K), 0 survivors (0K)`, where survivors are young. From JDK 28 on,
/// the line is `9 eden (9M), 1 survivor (1M)`.
fn young_regions(line: &str) -> Option<u64> {
    let bytes_of = |name: &str| {
        let (_, bytes) = line.split_once(&format!(" {name} ("))?;
        size(bytes.split_once(')')?.0)
    };
    bytes_of("young").or_else(|| bytes_of("eden")?.checked_add(bytes_of("survivor")?))
}

fn address(word: &str) -> Option<u64> {
    u64::from_str_radix(word.strip_prefix("0x")?, 16).ok()
}

/// Returns whether the line has a total. Spaces and regions repeat the bytes that the lines above them add up.
fn is_total(line: &str) -> bool {
    line.contains("used")
        && ["total", "capacity", "committed", " max, "].iter().any(|word| line.contains(word))
        && !line.trim_start().starts_with("region size")
}

/// Returns the bytes of `space 204800K,  15% used [bottom, top, end)`. Epsilon prints nothing else of its used bytes
/// (JDK: `epsilonHeap.cpp`, `ContiguousSpace::print_on`).
fn used_of_space(line: &str) -> Option<u64> {
    let (_, addresses) = line.trim_start().strip_prefix("space ")?.split_once("used [")?;
    let mut addresses = addresses.split(", ").map(address);
    let (bottom, top) = (addresses.next()??, addresses.next()??);
    top.checked_sub(bottom)
}

/// Returns the bytes of `used 1234K` or, in Shenandoah, `1234K used`.
fn used_of(line: &str) -> Option<u64> {
    let words: Vec<&str> = line.split([' ', ',', '\t']).filter(|word| !word.is_empty()).collect();
    let at = words.iter().position(|word| *word == "used")?;
    let after = words.get(at + 1).and_then(|word| size(word));
    after.or_else(|| size(words.get(at.checked_sub(1)?)?))
}

/// Parses a number and its unit (JDK: `byte_size_in_proper_unit`).
fn size(word: &str) -> Option<u64> {
    let digits = word.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &word[digits.len()..] {
        "" | "B" => 1,
        "K" => 1 << 10,
        "M" => 1 << 20,
        "G" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generations_of_serial_and_parallel_are_added() {
        let serial = " def new generation   total 9792K, used 500K [0x1, 0x2, 0x3)\n  eden space 8704K,   5% used [0x1)\n\
                      \x20tenured generation   total 21888K, used 1000K [0x1)\n   the space 21888K,   4% used [0x1)\n\
                      \x20Metaspace       used 108K, committed 256K, reserved 1114112K\n";
        assert_eq!(heap_used(serial), Some(1500 << 10));
        let parallel = " PSYoungGen      total 76288K, used 5243K [0x1)\n  eden space 65536K, 8% used [0x1)\n\
                        \x20ParOldGen       total 175104K, used 20K [0x1)\n";
        assert_eq!(heap_used(parallel), Some(5263 << 10));
    }

    #[test]
    fn g1_zgc_and_shenandoah_have_one_line() {
        assert_eq!(
            heap_used(" garbage-first heap   total 260096K, used 5120K [0x1, 0x2)\n  region size 1024K, 5 young\n"),
            Some(5 << 20)
        );
        assert_eq!(
            heap_used(" ZHeap           used 12M, capacity 256M, max capacity 3990M\n Metaspace used 1K"),
            Some(12 << 20)
        );
        assert_eq!(
            heap_used("Shenandoah Heap\n 256M max, 256M soft max, 256M committed, 2M used\n 1024 x 256K regions\n"),
            Some(2 << 20)
        );
    }

    /// The answers are those of JDK 17 and 25. Other builds also print the first line of the virtual space.
    #[test]
    fn epsilon_has_a_space_only() {
        let jdk17 = "Epsilon Heap\nAllocation space:\n space 204800K,  15% used [0x00000000f3800000, \
                     0x00000000f57946d0, 0x0000000100000000)\n Metaspace       used 4052K, committed 4224K\n";
        assert_eq!(heap_used(jdk17), Some(0x01f9_46d0));
        let jdk25 = "Epsilon Heap\n Virtual space:\n  - committed: 209715200\n Allocation space:\n  space 204800K,  \
                     15% used [0x00000000f3800000, 0x00000000f5772f30, 0x0000000100000000)\n";
        assert_eq!(heap_used(jdk25), Some(0x01f7_2f30));
        assert_eq!(heap_used("Epsilon Heap\n space 1K, 1% used [?, 0x2)\n"), None);
    }

    /// JDK: `ShenandoahHeap::print_heap_on` of the development branch of JDK 27.
    #[test]
    fn generational_shenandoah_has_two_generations() {
        let text = "Generational Shenandoah Heap\n Young:\n  200M max, 32512K used\n Old:\n  200M max, 3M used\n \
                    Entire heap:\n  200M soft max, 200M committed\n  800 x 256K regions\nStatus: not cancelled\n";
        assert_eq!(heap_used(text), Some((32512 << 10) + (3 << 20)));
        assert_eq!(heap_used("Generational Shenandoah Heap\n Young:\n  1G max, 0B used\n"), Some(0));
    }

    /// The answers are those of JDK 8, 17, 25 and 28, for a heap of 400 MiB.
    #[test]
    fn old_generation_has_its_used_bytes_and_largest_size() {
        let old = |text: &str| old_generation(text).map(|old| (old.used >> 10, old.most.map(|most| most >> 10)));
        let young = " def new generation   total 29504K, used 1050K [0x00000000e7000000, 0x00000000e9000000, \
                     0x00000000ef550000)\n  eden space 26240K,   4% used [0x1, 0x2, 0x3)\n";
        let addresses = "[0x00000000ef550000, 0x00000000f3533000, 0x0000000100000000)";
        let serial = format!("{young} tenured generation   total 65420K, used 39251K {addresses}\n   the space 1K\n");
        assert_eq!(old(&serial), Some((39251, Some(0x10ab_0000 >> 10))));
        let cms = format!("{young} concurrent mark-sweep generation total 65780K, used 39466K {addresses}\n");
        assert_eq!(old(&cms), Some((39466, Some(0x10ab_0000 >> 10))));
        let serial25 = format!(
            "DefNew     total 24320K, used 1286K [0x1, 0x2, 0x3)\nTenured    total 54000K, used 32399K {addresses}\n"
        );
        assert_eq!(old(&serial25), Some((32399, Some(0x10ab_0000 >> 10))));
        let parallel = "PSYoungGen      total 35328K, used 1791K [0x1, 0x2, 0x3)\nParOldGen       total 44032K, used \
                        32398K [0x00000000e7000000, 0x00000000e9b00000, 0x00000000f7b00000)\n";
        assert_eq!(old(parallel), Some((32398, Some(0x10b0_0000 >> 10))));
        let g1 = " garbage-first heap   total 131072K, used 40272K [0x1, 0x2, 0x3)\n  region size 1024K, 2 young \
                  (2048K), 1 survivors (1024K)\n";
        assert_eq!(old(g1), Some((40272 - 2048, None)));
        let g1 = "garbage-first heap   total reserved 409600K, committed 30720K, used 13468K [0x1, 0x2)\n region size \
                  1M, 9 eden (9M), 1 survivor (1M), 5 old (5M), 0 humongous (0M), 15 free (15M)\n";
        assert_eq!(old(g1), Some((13468 - 10240, None)));
        let shenandoah = "Generational Shenandoah Heap\n Young:\n  200M max, 32512K used\n Old:\n  200M max, 3M used\n";
        assert_eq!(old(shenandoah), Some((3 << 10, None)));
        let parallel28 = "ParOldGen       total 50176K, used 31096K Old Gen: [0x00000000e7000000, 0x00000000ea100000, \
                          0x00000000f7b00000)\n";
        assert_eq!(old(parallel28), Some((31096, None)));
        for none in [
            "ZHeap            used 42M, capacity 70M, max capacity 400M\n",
            "Shenandoah Heap\n 400M max, 2M used\n",
            "",
        ] {
            assert_eq!(old(none), None, "{none}");
        }
    }

    #[test]
    fn an_answer_without_figures_is_unknown() {
        assert_eq!(heap_used("Unknown diagnostic command"), None);
        assert_eq!(heap_used(""), None);
    }
}
