using System.Globalization;

namespace Diffract.Runs;

/// <summary>How much memory a verb may take: what is free, or what <c>--memory</c> says. It decides how a stage goes about its work, never what comes out of it.</summary>
/// <param name="Bytes">The bound.</param>
/// <param name="IsGiven">Whether the caller said it.</param>
public sealed record MemoryBudget(long Bytes, bool IsGiven = false)
{
    const string Facts = "/proc/meminfo", Groups = "/proc/self/cgroup", GroupRoot = "/sys/fs/cgroup";

    /// <summary>The container's limit, or what the system has to give without swapping, whichever is less.</summary>
    public static MemoryBudget Available()
    {
        // Where a container has a limit, the runtime names three quarters of it: the bound of its own heap, which holds little here.
        long limit = GroupLimit() ?? GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;
        return new MemoryBudget(Math.Min(limit, Free() ?? long.MaxValue));
    }

    /// <summary>What <c>--memory</c> gives, in GiB; null: what is available.</summary>
    /// <exception cref="DiffractException">No size.</exception>
    public static MemoryBudget Of(double? gibibytes) => gibibytes switch
    {
        null => Available(),
        > 0 and < 1e6 => new MemoryBudget((long)(gibibytes.Value * (1L << 30)), IsGiven: true),
        _ => throw DiffractException.Argument(FormattableString.Invariant($"--memory {gibibytes} does not fit; wanted GiB, a number above 0")),
    };

    /// <summary>Bytes in words.</summary>
    public static string Size(long bytes) => bytes < 1L << 30
        ? string.Create(CultureInfo.InvariantCulture, $"{Math.Ceiling(bytes / 1048576.0):F0} MiB")
        : string.Create(CultureInfo.InvariantCulture, $"{bytes / 1073741824.0:F1} GiB");

    /// <summary>The bound as a clause.</summary>
    public override string ToString() => IsGiven ? $"--memory allows {Size(Bytes)}" : $"{Size(Bytes)} are free";

    /// <summary>The smallest limit of this process's control group and those above it; null where there is none.</summary>
    static long? GroupLimit()
    {
        if (!File.Exists(Groups))
        {
            return null;
        }

        long? least = null;
        foreach (string line in File.ReadLines(Groups))
        {
            // "0::/path" is version 2; "7:memory:/path" is version 1.
            string[] parts = line.Split(':', 3);
            bool first = parts.Length == 3 && parts[1] == "memory";
            if (parts.Length != 3 || (parts[1].Length > 0 && !first))
            {
                continue;
            }

            string root = first ? Path.Combine(GroupRoot, "memory") : GroupRoot, file = first ? "memory.limit_in_bytes" : "memory.max";
            for (string path = parts[2].Trim('/'); ; path = Path.GetDirectoryName(path) ?? "")
            {
                string limit = Path.Combine(root, path, file);
                if (File.Exists(limit) && long.TryParse(File.ReadAllText(limit).Trim(), NumberStyles.None, CultureInfo.InvariantCulture, out long bytes))
                {
                    least = Math.Min(least ?? long.MaxValue, bytes);
                }

                if (path.Length == 0)
                {
                    break;
                }
            }
        }

        return least;
    }

    static long? Free()
    {
        if (!File.Exists(Facts))
        {
            return null;
        }

        const string Name = "MemAvailable:";
        string? line = File.ReadLines(Facts).FirstOrDefault(l => l.StartsWith(Name, StringComparison.Ordinal));
        string[] words = line?[Name.Length..].Split(' ', StringSplitOptions.RemoveEmptyEntries) ?? [];
        return words.Length == 2 && long.TryParse(words[0], CultureInfo.InvariantCulture, out long kibibytes) ? kibibytes * 1024 : null;
    }
}
