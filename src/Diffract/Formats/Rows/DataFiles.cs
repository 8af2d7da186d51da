using System.IO.Enumeration;
using Diffract.Runs;

namespace Diffract.Formats.Rows;

/// <summary>The files that a user means: a file, a folder, or a pattern with <c>*</c>, <c>?</c> and <c>**</c> (any folders).</summary>
public static class DataFiles
{
    // What data sets keep beside their rows.
    static readonly string[] Others = ["config.json", "dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json", "LICENSE.txt", "requirements.txt"];

    /// <summary>The files in ordinal order of their paths.</summary>
    /// <param name="text">Path of a file or folder, or a pattern.</param>
    /// <exception cref="DiffractException">There is nothing to read.</exception>
    public static IReadOnlyList<string> Find(string text)
    {
        if (File.Exists(text))
        {
            return [text];
        }

        try
        {
            string[] files = Directory.Exists(text) ? [.. Below(text).Where(f => IsData(Path.GetRelativePath(text, f)))]
                : IsPattern(text) ? Matching(text)
                : throw DiffractException.Argument($"{text} does not exist; wanted a file of JSON lines, CSV, plain text (each plain, .gz or .zst) or Parquet, a folder of such files, or a pattern");
            return files.Length > 0
                ? Sorted(files)
                : throw DiffractException.Argument($"{text} has no file to read; wanted .jsonl, .json, .ndjson, .csv, .tsv or .txt (plain, .gz or .zst) or .parquet");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new DiffractException($"cannot list {text}: {e.Message}", inner: e);
        }
    }

    public static bool IsPattern(string text) => text.AsSpan().IndexOfAny('*', '?') >= 0;

    /// <summary>Whether a file of a folder or repository holds rows: hidden ones and those that describe the data do not.</summary>
    /// <param name="relative">Path in the folder.</param>
    public static bool IsData(string relative)
        => RowFile.Named(relative) is not null && !Others.Contains(Path.GetFileName(relative))
            && !relative.Replace('\\', '/').Split('/').Any(p => p.StartsWith('.') || p.StartsWith('_'));

    /// <summary>Whether a path, with <c>/</c>, is one that a pattern means.</summary>
    public static bool Matches(string pattern, string path) => Matches(pattern.Split('/'), path.Split('/'));

    static bool Matches(ReadOnlySpan<string> pattern, ReadOnlySpan<string> path)
    {
        if (pattern.IsEmpty)
        {
            return path.IsEmpty;
        }

        if (pattern[0] == "**")
        {
            for (int i = 0; i <= path.Length; i++)
            {
                if (Matches(pattern[1..], path[i..]))
                {
                    return true;
                }
            }

            return false;
        }

        return !path.IsEmpty && FileSystemName.MatchesSimpleExpression(pattern[0], path[0], ignoreCase: false) && Matches(pattern[1..], path[1..]);
    }

    static string[] Matching(string text)
    {
        string[] parts = text.Replace('\\', '/').Split('/');
        int fixedParts = Array.FindIndex(parts, IsPattern);
        string root = string.Join('/', parts.Take(fixedParts));
        string folder = fixedParts == 0 ? "." : root.Length == 0 ? "/" : root;
        return Directory.Exists(folder)
            ? [.. Below(folder).Where(f => Matches(parts.AsSpan(fixedParts), Path.GetRelativePath(folder, f).Replace('\\', '/').Split('/'))).Select(f => fixedParts == 0 ? Path.GetRelativePath(folder, f) : f)]
            : throw DiffractException.Argument($"{folder} does not exist; wanted a folder before the pattern of {text}");
    }

    static IEnumerable<string> Below(string folder) => Directory.EnumerateFiles(folder, "*", new EnumerationOptions { RecurseSubdirectories = true, AttributesToSkip = 0, MaxRecursionDepth = 16 });

    static string[] Sorted(string[] files)
    {
        Array.Sort(files, (a, b) => string.CompareOrdinal(a.Replace('\\', '/'), b.Replace('\\', '/')));
        return files;
    }
}
