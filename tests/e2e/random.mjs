// random.mjs: numbers of a seed, the same in each run (mulberry32); the moments of a run are its own.

// A function that gives numbers from 0 to below 1; its seed() is the one that would go on from here.
export function seeded(seed) {
    const random = () => {
        seed = (seed + 0x6d2b79f5) | 0;
        let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
        t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
        return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
    random.seed = () => seed;
    return random;
}
