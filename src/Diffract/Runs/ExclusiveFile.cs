using System.Runtime.InteropServices;

namespace Diffract.Runs;

/// <summary>
/// Files that exactly one of several writers puts in place, on this machine or on others that share the file system: a whole, flushed file gets its name by link(2), which fails where the name is
/// taken; where there are no links by a rename that does not overwrite.
/// </summary>
public static partial class ExclusiveFile
{
    const int NoEntry = 2, Exists = 17;
    const int WorkingFolder = -100, NoReplace = 1;

    /// <summary>Moves <paramref name="made"/> to <paramref name="path"/> unless something is there. True: it is there now. False: another was first; <paramref name="made"/> is left.</summary>
    /// <param name="made">A whole file on the same file system, flushed.</param>
    /// <param name="path">Its name.</param>
    /// <param name="alone">Where the file system has neither links nor such a rename: true takes it that nobody else writes, false refuses.</param>
    /// <exception cref="FileNotFoundException"><paramref name="made"/> has been removed by another.</exception>
    /// <exception cref="DiffractException">The file system cannot do it.</exception>
    public static bool TryPlace(string made, string path, bool alone = true)
    {
        bool placed = OperatingSystem.IsWindows() ? TryMove(made, path) : TryLink(made, path, alone);
        if (placed)
        {
            FlushFolder(Path.GetDirectoryName(Path.GetFullPath(path))!);
        }

        return placed;
    }

    /// <summary>Writes a small file unless there is one.</summary>
    public static void TryWriteText(string path, string text)
    {
        string made = $"{path}.{ProcessMark()}.new";
        AtomicFile.WriteText(made, text);
        TryPlace(made, path);
        File.Delete(made);
    }

    /// <summary>A name that no other process has, on any machine.</summary>
    internal static string ProcessMark()
        => $"{string.Concat(Environment.MachineName.Select(c => char.IsAsciiLetterOrDigit(c) ? c : '-'))}-{Environment.ProcessId}-{Random.Shared.Next():x8}";

    static bool TryMove(string made, string path)
    {
        try
        {
            File.Move(made, path, overwrite: false);
            return true;
        }
        catch (IOException e) when (e is not FileNotFoundException && File.Exists(path))
        {
            return false;
        }
    }

    static bool TryLink(string made, string path, bool alone)
    {
        if (Link(made, path) == 0)
        {
            File.Delete(made);
            return true;
        }

        int why = Marshal.GetLastPInvokeError();
        if (why is not (NoEntry or Exists))
        {
            why = Rename(made, path);
        }

        return why switch
        {
            0 => true,
            Exists => false,
            NoEntry when !File.Exists(made) => throw new FileNotFoundException($"{made} is gone", made),
            _ when alone => TryRename(made, path),
            _ => throw new DiffractException(
                $"cannot publish {path}: {Marshal.GetPInvokeErrorMessage(why)}; tasks that share a folder want a file system that can link, or rename without overwriting: put the run on another one, or run one process without --task"),
        };
    }

    /// <summary>0, or the error.</summary>
    static int Rename(string made, string path)
    {
        if (!OperatingSystem.IsLinux())
        {
            return Marshal.GetLastPInvokeError();
        }

        try
        {
            return RenameAt(WorkingFolder, made, WorkingFolder, path, NoReplace) == 0 ? 0 : Marshal.GetLastPInvokeError();
        }
        catch (EntryPointNotFoundException)
        {
            // A C library without it.
            const int NoSystemCall = 38;
            return NoSystemCall;
        }
    }

    static bool TryRename(string made, string path)
    {
        if (File.Exists(path))
        {
            return false;
        }

        File.Move(made, path);
        return true;
    }

    /// <summary>The name has to outlive a power cut as the bytes do. Best effort: some file systems have no such call for folders.</summary>
    static void FlushFolder(string folder)
    {
        if (!OperatingSystem.IsWindows() && Open(folder, 0) is >= 0 and int descriptor)
        {
            _ = Flush(descriptor);
            _ = Close(descriptor);
        }
    }

    [LibraryImport("libc", EntryPoint = "link", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Link(string from, string to);

    [LibraryImport("libc", EntryPoint = "renameat2", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int RenameAt(int fromFolder, string from, int toFolder, string to, uint flags);

    [LibraryImport("libc", EntryPoint = "open", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Open(string path, int flags);

    [LibraryImport("libc", EntryPoint = "fsync")]
    private static partial int Flush(int descriptor);

    [LibraryImport("libc", EntryPoint = "close")]
    private static partial int Close(int descriptor);
}
