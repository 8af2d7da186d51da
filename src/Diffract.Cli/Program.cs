using System.CommandLine;
using Diffract.Cli;

ParseResult parse = CommandTable.Create().Parse(args);
if (CommandTable.Fault(parse) is { } fault)
{
    string verb = args.Length > 0 && !args[0].StartsWith('-') ? args[0] + " " : "";
    Console.Error.WriteLine($"diffract: {fault}; see `diffract {verb}--help`");
    return ExitCodes.BadArguments;
}

return await parse.InvokeAsync(new InvocationConfiguration { ProcessTerminationTimeout = TimeSpan.FromSeconds(30) });
