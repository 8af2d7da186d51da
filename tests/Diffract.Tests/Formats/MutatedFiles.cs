using System.Diagnostics;
using System.Globalization;
using Diffract.Runs;

namespace Diffract.Tests.Formats;

/// <summary>
/// Gives a reader one damaged file after another: each is read or refused with our own error, in one line, within bounded memory and time. 2,000 of a kind; tests/fuzz.sh asks for more
/// (DIFFRACT_FUZZ) and for a table of what came out (DIFFRACT_FUZZ_TABLE).
/// </summary>
static class MutatedFiles
{
    /// <summary>Far above what any of them takes: it tells a reader that is stuck from a machine that is busy.</summary>
    static readonly TimeSpan LongestProcessorTime = TimeSpan.FromSeconds(20);

    static readonly int Count = int.Parse(Environment.GetEnvironmentVariable("DIFFRACT_FUZZ") ?? "2000", CultureInfo.InvariantCulture);
    static readonly Lock Written = new();

    /// <param name="kind">The row of the table.</param>
    /// <param name="mostBytes">Managed memory that one file may take.</param>
    /// <param name="damage">A damaged file, the same for the same mutations.</param>
    /// <param name="read">Reads it; what it throws must be a <see cref="DiffractException"/>.</param>
    public static void Check(string kind, long mostBytes, Func<Mutations, byte[]> damage, Action<byte[]> read)
    {
        int accepted = 0;
        (long most, TimeSpan longest) = (0, TimeSpan.Zero);
        long began = Stopwatch.GetTimestamp();
        for (int i = 0; i < Count; i++)
        {
            byte[] damaged = damage(new Mutations((ulong)i));
            long before = GC.GetAllocatedBytesForCurrentThread(), start = Stopwatch.GetTimestamp();
            TimeSpan processor = Environment.CpuUsage.TotalTime;
            try
            {
                read(damaged);
                accepted++;
            }
            catch (DiffractException e)
            {
                if (e.Message.Contains('\n', StringComparison.Ordinal))
                {
                    Fail(kind, i, damaged, $"more than one line: {e.Message}");
                }
            }
            catch (Exception e)
            {
                Fail(kind, i, damaged, e.ToString());
            }

            long bytes = GC.GetAllocatedBytesForCurrentThread() - before;
            if (bytes > mostBytes || Environment.CpuUsage.TotalTime - processor > LongestProcessorTime)
            {
                Fail(kind, i, damaged, $"{bytes:N0} bytes, {Stopwatch.GetElapsedTime(start).TotalSeconds:F1} s");
            }

            most = Math.Max(most, bytes);
            longest = longest > Stopwatch.GetElapsedTime(start) ? longest : Stopwatch.GetElapsedTime(start);
        }

        Assert.InRange(accepted, 0, Count - 1);
        if (Environment.GetEnvironmentVariable("DIFFRACT_FUZZ_TABLE") is { } table)
        {
            lock (Written)
            {
                File.AppendAllText(table, string.Create(
                    CultureInfo.InvariantCulture, $"| {kind} | {Count:N0} | {Count - accepted:N0} | {accepted:N0} | {most / 1024:N0} | {longest.TotalMilliseconds:N0} | {Stopwatch.GetElapsedTime(began).TotalSeconds:N0} |\n"));
            }
        }
    }

    static void Fail(string kind, int number, byte[] damaged, string what)
    {
        string kept = Path.Combine(Path.GetTempPath(), "diffract-damaged-" + string.Concat(kind.Where(char.IsLetterOrDigit)));
        File.WriteAllBytes(kept, damaged);
        Assert.Fail($"{kind} {number} (kept as {kept}): {what}");
    }
}
