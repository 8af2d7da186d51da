using System.CommandLine;
using Diffract.Cli;

Command root = CommandTable.Create();
ParseResult parse = root.Parse(args);
if (CommandTable.Fault(parse) is { } fault)
{
    string verb = parse.CommandResult.Command == root ? "" : parse.CommandResult.Command.Name + " ";
    Console.Error.WriteLine($"diffract: {fault}; see `diffract {verb}--help`");
    return ExitCodes.BadArguments;
}

if (parse.CommandResult.Command == root)
{
    CommandTable.Shorten(root);
}

return await parse.InvokeAsync(new InvocationConfiguration { ProcessTerminationTimeout = TimeSpan.FromSeconds(30) });
